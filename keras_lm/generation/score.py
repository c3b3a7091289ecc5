"""How likely a model finds a text.

B batch, T length, V vocabulary.
"""

from typing import Any

import tensorflow as tf

Tensor = Any


def log_likelihood(logits: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
    """Sums the log-probabilities of the labels of each row.

    Args:
        logits: float `(B, T, V)`; `logits[:, t]` predicts `labels[:, t]`.
        labels: int `(B, T)`. Behind a row's length any value will do.
        lengths: int `(B,)`, how many labels of each row count.

    Returns:
        float32 `(B,)`, natural logarithm, at most 0; 0 for length 0, minus infinity if a label is
        forbidden.
    """
    logits = tf.cast(logits, tf.float32)
    counts_BT = tf.sequence_mask(lengths, tf.shape(labels)[1])
    labels = tf.where(counts_BT, labels, tf.zeros_like(labels))
    # Not tf.nn's function: it puts an assertion into the graph.
    loss_N, _ = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(
        features=tf.reshape(logits, [-1, logits.shape[-1]]), labels=tf.reshape(labels, [-1])
    )
    loss_BT = tf.reshape(loss_N, tf.shape(labels))
    return -tf.reduce_sum(tf.where(counts_BT, loss_BT, 0.0), -1)
