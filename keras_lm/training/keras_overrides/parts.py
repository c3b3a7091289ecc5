"""A step whose batch is computed in parts, or by XLA inside each replica."""

from typing import Any

import keras
import tensorflow as tf

from keras_lm.training.keras_overrides.exact_gradients import dense
from keras_lm.training.losses import over_replicas

Tensor = Any


class TrainsInParts:
    """For models: gradient accumulation and XLA, with one reduction and one update a step.

    1. Gradient accumulation. Keras keeps sums over several steps, whose reduction cannot be traced
       under a strategy (keras#20582), and averages the means of batches that count differently
       many tokens. Here a step computes its batch in parts, one after the other, each divided by
       what the whole batch is divided by.
    2. XLA. Keras compiles what is around the replicas, which cannot be (keras#19005, keras#18716).
       Here forward and backward of each replica are compiled, reduction and update are not.
    """

    def train_step(self, data: Any) -> Any:
        """Makes one step of training, as Keras does."""
        model: Any = self
        parts = model.gradient_accumulation_steps
        if parts == 1 and not model.xla_in_replicas:
            return super().train_step(data)  # type: ignore[misc]
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        counts = model.loss_counts(x, y, weight)
        compute = self._loss_and_gradients
        if model.xla_in_replicas:
            compute = tf.function(compute, jit_compile=True, reduce_retracing=True)
        if parts == 1:
            loss, outputs, gradients = compute(x, y, weight, counts, tf.constant(1.0))
            self._update_metrics(x, y, outputs, weight)
        else:
            loss, gradients = self._in_parts(compute, parts, x, y, weight, counts)
        rows = tf.shape(keras.tree.flatten(x)[0])[0]
        model._loss_tracker.update_state(over_replicas(loss), sample_weight=rows)
        variables = model.trainable_weights
        model.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        if model.sampled_softmax is not None:
            return {"loss": model._loss_tracker.result()}
        return model.get_metrics_result()

    def _loss_and_gradients(
        self, x: Any, y: Any, weight: Any, counts: Tensor, share: Tensor
    ) -> tuple[Tensor, Any, list[Tensor]]:
        model: Any = self
        sampled = model.sampled_softmax is not None
        with tf.GradientTape() as tape:
            outputs = model(x, training=True, **({"logits": False} if sampled else {}))
            loss = model.loss_of_part(x, y, outputs, weight, counts, share)
            scaled = model.optimizer.scale_loss(loss)
        gradients = [dense(g) for g in tape.gradient(scaled, model.trainable_weights)]
        return loss, None if sampled else outputs, gradients

    def _update_metrics(self, x: Any, y: Any, outputs: Any, weight: Any) -> None:
        model: Any = self
        if model.sampled_softmax is None:
            model.compute_metrics(x, y, outputs, weight)

    def _in_parts(
        self, compute: Any, parts: int, x: Any, y: Any, weight: Any, counts: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Adds up loss and gradients of parts that are as even as can be."""
        rows = tf.shape(keras.tree.flatten(x)[0])[0]
        variables = self.trainable_weights  # type: ignore[attr-defined]
        unused: set[int] = set()

        def add_part(part: Tensor, loss: Tensor, sums: list[Tensor]) -> Any:
            begin, end = part * rows // parts, (part + 1) * rows // parts
            share = tf.where(rows > 0, (end - begin) / tf.maximum(rows, 1), 1 / parts)
            own = tf.nest.map_structure(
                lambda value: None if value is None else value[begin:end], (x, y, weight)
            )
            more, outputs, gradients = compute(*own, counts, tf.cast(share, tf.float32))
            self._update_metrics(own[0], own[1], outputs, own[2])
            unused.update(i for i, gradient in enumerate(gradients) if gradient is None)
            return (
                part + 1,
                loss + more,
                [a if b is None else a + b for a, b in zip(sums, gradients, strict=True)],
            )

        # A loop, not as many copies: TensorFlow would compute the copies at the same time.
        _, loss, sums = tf.while_loop(
            lambda part, *_: part < parts,
            add_part,
            (tf.constant(0), tf.constant(0.0), [tf.zeros(v.shape, v.dtype) for v in variables]),
            parallel_iterations=1,
            maximum_iterations=parts,
        )
        return loss, [None if i in unused else total for i, total in enumerate(sums)]
