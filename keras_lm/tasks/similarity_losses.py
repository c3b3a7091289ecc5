"""What embeddings of rows of texts cost: the second text is like the first, the third is unlike.

B batch, S texts of a row (2 or 3), D width, C = B (S - 1) candidates.
"""

from typing import Any

import keras
import tensorflow as tf

from keras_lm.training.losses import squared_error, weighed

Tensor = Any

_HIDDEN = -1e9  # takes a candidate out of a softmax
_LEAST = 1e-12  # keeps the gradient of a root finite


def ranking_loss(
    labels: Tensor, vectors: Tensor, weights: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Returns the cross-entropy of each row's second text among all candidates, and the weights.

    Source: Henderson et al. 2017, arXiv:1705.00652, section 4.4; of cosines over a temperature.

    Args:
        labels: int `(B,)`: the group of each row. Another row's texts are no candidates in a row of
            the same group.
        vectors: float `(B, S, D)`.
        weights: float `(B,)`, or None.
        temperature: what cosines are divided by.

    Returns:
        Both float32 `(B,)`.
    """
    scores_BC = _scores(vectors) / temperature
    group_B = tf.cast(labels, "int32")
    row_B = tf.range(tf.shape(scores_BC)[0])
    others = vectors.shape[1] - 1
    alike_BB = (group_B[:, None] == group_B[None]) & (row_B[:, None] != row_B[None])
    scores_BC = tf.where(tf.tile(alike_BB, [1, others]), _HIDDEN, scores_BC)
    loss_B = tf.nn.sparse_softmax_cross_entropy_with_logits(row_B, scores_BC)
    return loss_B, weighed(group_B, weights)[1]


def cosine_error(labels: Tensor, vectors: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the squared difference of each row's cosine and its score, and the weights.

    Args:
        labels: float `(B,)`.
        vectors: float `(B, 2, D)`.
        weights: float `(B,)`, or None.
    """
    return squared_error(labels, cosines(vectors), weights)


def triplet_loss(
    labels: Tensor, vectors: Tensor, weights: Tensor, margin: float
) -> tuple[Tensor, Tensor]:
    """Returns how much the third text is too near, against the second, and the weights.

    Source: Reimers and Gurevych 2019, arXiv:1908.10084, section 3, "triplet objective function".

    Args:
        labels: `(B,)`, not read.
        vectors: float `(B, 3, D)`.
        weights: float `(B,)`, or None.
        margin: how much nearer the second text shall be, in Euclidean distance.
    """
    near_B, far_B = (_distance(vectors[:, 0], vectors[:, i]) for i in (1, 2))
    return tf.nn.relu(near_B - far_B + margin), weighed(labels, weights, tf.float32)[1]


def cosines(vectors: Tensor) -> Tensor:
    """The cosine of the first two texts of each row, float32 `(B,)`."""
    unit_BSD = tf.math.l2_normalize(tf.cast(vectors, "float32"), axis=-1)
    return tf.reduce_sum(unit_BSD[:, 0] * unit_BSD[:, 1], axis=-1)


def _scores(vectors: Tensor) -> Tensor:
    """Cosines of each first text with all second texts, and behind them all third ones."""
    unit_BSD = tf.math.l2_normalize(tf.cast(vectors, "float32"), axis=-1)
    width = vectors.shape[-1]
    candidate_CD = tf.reshape(tf.transpose(unit_BSD[:, 1:], [1, 0, 2]), [-1, width])
    return tf.matmul(unit_BSD[:, 0], candidate_CD, transpose_b=True)


def _distance(one_BD: Tensor, other_BD: Tensor) -> Tensor:
    return tf.sqrt(tf.reduce_sum(tf.math.squared_difference(one_BD, other_BD), -1) + _LEAST)


@keras.saving.register_keras_serializable("keras_lm")
class EmbeddingAccuracy(keras.metrics.Mean):
    """The share of rows whose second text is the nearest to the first, by cosine.

    Of rows of three texts it is nearer than the third; of two it is the nearest of the batch.
    """

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        """Adds a batch.

        Args:
            y_true: `(B,)`: of rows of two texts their groups, see `ranking_loss`.
            y_pred: float `(B, S, D)`.
            sample_weight: float `(B,)`, or None.
        """
        unit_BSD = tf.math.l2_normalize(tf.cast(y_pred, "float32"), axis=-1)
        own_B = tf.reduce_sum(unit_BSD[:, 0] * unit_BSD[:, 1], axis=-1)
        if y_pred.shape[1] == 3:
            right_B = own_B > tf.reduce_sum(unit_BSD[:, 0] * unit_BSD[:, 2], axis=-1)
        else:
            group_B = tf.cast(y_true, "int32")
            scores_BB = tf.matmul(unit_BSD[:, 0], unit_BSD[:, 1], transpose_b=True)
            scores_BB = tf.where(group_B[:, None] == group_B[None], _HIDDEN, scores_BB)
            right_B = own_B > tf.reduce_max(scores_BB, axis=1)
        super().update_state(tf.cast(right_B, "float32"), sample_weight)
