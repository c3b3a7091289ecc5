"""What a generator puts in the place of masked tokens, and what is to be found of it.

Masked positions that only fill up a row point at 0, where `[CLS]` stands: position 0 is never
replaced, as in ELECTRA's released code.

B batch, T length, P masked positions.
"""

from typing import Any

import tensorflow as tf

Tensor = Any


def replaced(token_ids: Tensor, positions: Tensor, drawn: Tensor) -> Tensor:
    """Writes drawn tokens into rows.

    Args:
        token_ids: int `(B, T)`.
        positions: int `(B, P)`, different but for zeros.
        drawn: int `(B, P)`.

    Returns:
        int `(B, T)`, of the dtype of `token_ids`.
    """
    own_B1 = token_ids[:, :1]
    return _written(token_ids, positions, tf.where(positions > 0, drawn, own_B1))


def detection_labels(
    real: Tensor, positions: Tensor, drawn: Tensor, labels: Tensor, weights: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Says which tokens are not what stood there, and which of them count.

    A drawn token that is the original one was not replaced (Clark et al. 2020, arXiv:2003.10555,
    section 2). Where the label of a masked position has no weight, nobody knows what stood there.

    Args:
        real: bool `(B, T)`, True where a token is no padding.
        positions: int `(B, P)`.
        drawn: int `(B, P)`.
        labels: int `(B, P)`, what stood there.
        weights: float `(B, P)` or `(B,)`, of the labels; None: 1.

    Returns:
        int32 `(B, T)`, 1 where a token was replaced, else 0; float32 `(B, T)`, 1 where it counts.
    """
    is_other_BP = tf.cast(drawn != tf.cast(labels, drawn.dtype), tf.int32)
    if weights is not None:
        weights = tf.convert_to_tensor(weights)
        known = weights > 0 if weights.shape.rank == 2 else weights[:, None] > 0
        is_other_BP = tf.where(known, is_other_BP, -1)
    is_other_BP = tf.where(positions > 0, is_other_BP, 0)
    found_BT = _written(tf.zeros_like(real, tf.int32), positions, is_other_BP)
    counts_BT = tf.cast(real, "bool") & (found_BT >= 0)
    return tf.maximum(found_BT, 0), tf.cast(counts_BT, tf.float32)


def _written(x_BT: Tensor, positions_BP: Tensor, values_BP: Tensor) -> Tensor:
    """Writes values at positions; at 0 they are all the same."""
    row_B1 = tf.range(tf.shape(x_BT)[0], dtype=positions_BP.dtype)[:, None]
    at_BP2 = tf.stack([tf.broadcast_to(row_B1, tf.shape(positions_BP)), positions_BP], axis=-1)
    return tf.tensor_scatter_nd_update(x_BT, at_BP2, tf.cast(values_BP, x_BT.dtype))
