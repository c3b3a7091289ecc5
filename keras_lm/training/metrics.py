"""Metrics of language models that Keras lacks."""

from typing import Any

import keras
import tensorflow as tf

from keras_lm.training.losses import token_cross_entropy

Tensor = Any


@keras.saving.register_keras_serializable("keras_lm")
class Perplexity(keras.metrics.Mean):
    """The exponential of the weighted mean cross-entropy over all tokens seen.

    The mean is taken over tokens, not over batches, and over all replicas, before the exponential.

    Args:
        name: name of the metric.
        dtype: dtype of the sums.
    """

    def __init__(self, name: str = "perplexity", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        """Adds a batch.

        Args:
            y_true: labels, int `(B, T)`.
            y_pred: logits, float `(B, T, V)`.
            sample_weight: float, broadcastable to `(B, T)`; None: every token counts one.
        """
        loss_BT, weight_BT = token_cross_entropy(y_true, y_pred, sample_weight)
        super().update_state(loss_BT, sample_weight=weight_BT)

    def result(self) -> Tensor:
        """Returns the perplexity so far, 1 before the first token."""
        return tf.exp(super().result())
