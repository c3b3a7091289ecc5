"""A loss scale that all replicas agree on."""

from typing import Any

import tensorflow as tf

from keras_lm.training.keras_overrides.exact_gradients import dense
from keras_lm.training.losses import replica_context

Tensor = Any


class FiniteOnAllReplicas:
    """For `LossScaleOptimizer`: a step is taken by all replicas or by none.

    Keras asks each replica whether its own gradients are finite and takes the first one's answer:
    an overflow on another writes infinite weights, and under MultiWorkerMirroredStrategy the
    workers wait for each other for ever. Found here; no issue is known.
    """

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Makes one step, as Keras does, with dense gradients."""
        super().apply([dense(g) for g in grads], trainable_variables)  # type: ignore[misc]

    def check_finite(self, grads: Any) -> Tensor:
        """Says whether the gradients of every replica are finite."""
        finite = super().check_finite(grads)  # type: ignore[misc]
        context = replica_context()
        if context is None:
            return finite
        overflows = tf.cast(tf.logical_not(finite), tf.float32)
        return tf.equal(context.all_reduce(tf.distribute.ReduceOp.SUM, overflows), 0.0)
