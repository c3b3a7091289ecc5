"""Optimizers whose step is that of the global batch."""

from typing import Any

import tensorflow as tf

from keras_lm.training.losses import replica_context

Tensor = Any


def dense(gradient: Tensor) -> Tensor:
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
    3. Weights overwritten by their averages (`ema_overwrite_frequency`). Keras does it in a branch
       of the graph, and by leaving the replica, which a branch cannot (keras#20582).
       (`_overwrite_model_variables_with_average_value`)

    Attributes:
        on_gradients: called with the gradients of the global batch before they are clipped, where
            somebody set it.
    """

    on_gradients: Any = None

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Makes one step, as Keras does, with dense gradients."""
        super().apply([dense(g) for g in grads], trainable_variables)  # type: ignore[misc]

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
        length = None if self.clipnorm else self.global_clipnorm  # type: ignore[attr-defined]
        if length:
            # As Keras does, but each gradient is read once for the norm.
            return tf.clip_by_global_norm(gradients, length)[0]
        return super()._clip_gradients(gradients)  # type: ignore[misc]

    def _overwrite_model_variables_with_average_value(self, trainable_variables: Any) -> None:
        if replica_context() is None:
            super()._overwrite_model_variables_with_average_value(trainable_variables)  # type: ignore[misc]
            return
        averages = self._model_variables_moving_average  # type: ignore[attr-defined]
        for variable, average in zip(trainable_variables, averages, strict=True):
            if average is not None:
                variable.assign(average)  # this replica's; the others do the same
