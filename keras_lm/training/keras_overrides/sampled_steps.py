"""Steps of a training whose loss is not that of the outputs."""

from typing import Any

import keras
import tensorflow as tf


class TrainsWithoutLogits:
    """For models: a step of training whose loss is taken from hidden states.

    Keras's `train_step` calls the model with `training` alone, and needs the outputs for metrics,
    which are those of the whole softmax. With a sampled softmax there are none while training.
    """

    def train_step(self, data: Any) -> Any:
        """Makes one step of training, as Keras does but for the outputs."""
        model: Any = self
        if model.sampled_softmax is None:
            return super().train_step(data)  # type: ignore[misc]
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            outputs = model(x, training=True, logits=False)
            loss = model.sampled_loss(x, y, outputs, sample_weight)
            number = tf.distribute.get_strategy().num_replicas_in_sync
            rows = tf.shape(keras.tree.flatten(x)[0])[0]
            model._loss_tracker.update_state(loss * number, sample_weight=rows)
            scaled = model.optimizer.scale_loss(loss)
        variables = model.trainable_weights
        model.optimizer.apply_gradients(
            zip(tape.gradient(scaled, variables), variables, strict=True)
        )
        return {"loss": model._loss_tracker.result()}

    def _get_metrics_result_or_logs(self, logs: Any) -> Any:
        model: Any = self
        if model.sampled_softmax is not None and set(logs) == {"loss"}:
            # Keras would ask the metrics, which no step of training has updated.
            return {"loss": model._loss_tracker.result()}
        return super()._get_metrics_result_or_logs(logs)  # type: ignore[misc]
