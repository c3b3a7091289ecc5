"""Every override of what is private in Keras 3.15, with the issue it answers.

Mix-ins, to stand before the Keras class. setup.cfg caps Keras at the version they were tested with.
"""

from typing import Any

import keras
import tensorflow as tf

from keras_lm.training.losses import replica_context

Tensor = Any


def _dense(gradient: Tensor) -> Tensor:
    """Sums the rows of a gradient that belong to the same id."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    # Not tf.convert_to_tensor: it warns of large embeddings, and there is no other way.
    return tf.math.unsorted_segment_sum(
        gradient.values, gradient.indices, tf.cast(gradient.dense_shape, tf.int64)[0]
    )


class ExactGradients:
    """For optimizers: the step of the global batch, whatever it was spread over.

    1. Repeated ids. An embedding's gradient comes as rows that repeat; Keras squares each row
       before it adds them, so Adam's second moment is too small, and so are norms. Found here; no
       issue is known. (`apply`)
    2. Clipping. Keras clips in every replica, before the gradients are summed, so that a clipped
       step depends on the number of replicas. Found here; no issue is known.
       (`_clip_gradients`, `_all_reduce_sum_gradients`)

    Attributes:
        on_gradients: called with the gradients of the global batch before they are clipped, where
            somebody set it.
    """

    on_gradients: Any = None

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Makes one step, as Keras does, with dense gradients."""
        super().apply([_dense(g) for g in grads], trainable_variables)  # type: ignore[misc]

    def _clip_gradients(self, grads: Any) -> Any:
        if replica_context() is not None:
            return grads  # not yet: they are this replica's
        return self._clip_whole(grads)

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        summed = super()._all_reduce_sum_gradients(grads_and_vars)  # type: ignore[misc]
        if replica_context() is None:
            return summed
        clipped = self._clip_whole([g for g, _ in summed])
        return [
            (gradient, variable) for gradient, (_, variable) in zip(clipped, summed, strict=True)
        ]

    def _clip_whole(self, gradients: Any) -> Any:
        if self.on_gradients is not None:
            self.on_gradients(gradients)
        return super()._clip_gradients(gradients)  # type: ignore[misc]


class FiniteOnAllReplicas:
    """For `LossScaleOptimizer`: a step is taken by all replicas or by none.

    Keras asks each replica whether its own gradients are finite and takes the first one's answer:
    an overflow on another writes infinite weights, and under MultiWorkerMirroredStrategy the
    workers wait for each other for ever. Found here; no issue is known.
    """

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Makes one step, as Keras does, with dense gradients."""
        super().apply([_dense(g) for g in grads], trainable_variables)  # type: ignore[misc]

    def check_finite(self, grads: Any) -> Tensor:
        """Says whether the gradients of every replica are finite."""
        finite = super().check_finite(grads)  # type: ignore[misc]
        context = replica_context()
        if context is None:
            return finite
        overflows = tf.cast(tf.logical_not(finite), tf.float32)
        return tf.equal(context.all_reduce(tf.distribute.ReduceOp.SUM, overflows), 0.0)


def schedule_of(optimizer: Any) -> Any:
    """Returns the optimizer's learning-rate schedule or variable.

    `optimizer.learning_rate` gives the rate of the moment only.
    """
    return getattr(optimizer, "inner_optimizer", optimizer)._learning_rate


def strategy_of(model: Any) -> Any:
    """Returns the strategy in whose scope the model was constructed, None for none."""
    return model._distribute_strategy


def made_together(model: Any, optimizer: Any) -> bool:
    """Says whether model and optimizer were made in the same strategy's scope, or in none."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return optimizer._distribution_strategy is model.distribute_strategy


class DistributedTraining:
    """For models: `fit` under MirroredStrategy and MultiWorkerMirroredStrategy.

    1. `_maybe_symbolic_build` takes a batch out of the data and averages it over the replicas:
       bool and string features have no such sum, neither has a batch that does not divide evenly,
       and a PerReplica structure cannot be reduced over workers (keras#20585, keras#20329). Shapes
       and dtypes are all it needs, so they are read from the dataset; no batch is lost.
    2. `reduce_per_replica` averages the logs of several workers over their first dimension, which
       a scalar has not (keras#20585). (`train_step`, `test_step`)

    And without a strategy: `build_ahead`.
    """

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        strategy = strategy_of(self)
        if strategy is None:
            return
        if iterator is not None:
            specs = iterator._distributed_dataset.element_spec
            data_batch = tf.nest.map_structure(_first_replica, specs)
        with strategy.scope():
            self._symbolic_build(data_batch=data_batch)  # type: ignore[attr-defined]

    def build_ahead(self, data: Any) -> None:
        """Makes the variables of a training before its first step is traced.

        Keras makes those of optimizer and metrics in the first step, and TensorFlow traces a
        function that made variables a second time. Found here; no issue is known.

        Args:
            data: what is trained on. Only a dataset of dense tensors says what its batches are.
        """
        if strategy_of(self) is not None or self.run_eagerly:  # type: ignore[attr-defined]
            return  # `_maybe_symbolic_build` does it, or there is no trace
        specs = data.element_spec if isinstance(data, tf.data.Dataset) else None
        if all(isinstance(spec, tf.TensorSpec) for spec in tf.nest.flatten(specs)):
            if not self.built:  # type: ignore[attr-defined]
                self.build(None)  # type: ignore[attr-defined]
            self._symbolic_build(data_batch=specs)  # type: ignore[attr-defined]

    def train_step(self, data: Any) -> Any:
        """Makes one step of training, as Keras does."""
        return self._as_vectors(super().train_step(data))  # type: ignore[misc]

    def test_step(self, data: Any) -> Any:
        """Makes one step of evaluation, as Keras does."""
        return self._as_vectors(super().test_step(data))  # type: ignore[misc]

    def _as_vectors(self, logs: Any) -> Any:
        strategy = self.distribute_strategy  # type: ignore[attr-defined]
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) and (
            strategy.extended._in_multi_worker_mode()
        ):
            return keras.tree.map_structure(lambda value: tf.reshape(value, [1]), logs)
        return logs


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


def report_losses(model: Any, report: Any) -> None:
    """Tells somebody each loss that enters the mean of the epoch; `fit` shows that mean alone.

    Args:
        model: a compiled `keras.Model`.
        report: called in the graph with the loss and its weight, the number of rows.
    """
    tracker = model._loss_tracker
    update = type(tracker).update_state.__get__(tracker)

    def update_state(values: Tensor, sample_weight: Tensor = None) -> Any:
        report(values, 1.0 if sample_weight is None else sample_weight)
        return update(values, sample_weight)

    tracker.update_state = update_state


def _first_replica(spec: Any) -> Any:
    """Returns the spec of one replica's tensor, None for what Keras stands in for no tensor."""
    spec = getattr(spec, "_value_specs", (spec,))[0]
    return spec if isinstance(spec, tf.TensorSpec) else None
