"""Attention to a window, in blocks: memory and time grow with length x window.

The sequence is cut into blocks of C positions. The queries of a block meet the keys of their own
block and of as many neighbours as the window reaches into, R keys in all; what of these lies
outside the window is masked, so the numbers are those of the full matrix.
Source: Child et al. 2019, arXiv:1904.10509, section 4.3 ("local attention"); Brown et al. 2020,
arXiv:2005.14165, section 2.1.

B batch, H heads, T length, K width of a head, N blocks, C length of a block, R keys of a block.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_lm.layers.masks import MASKED, places_mask
from keras_lm.layers.rows import shape_of

Tensor = Any


def block_length(window: int) -> int:
    """Gives C: small blocks waste less, large ones make larger products."""
    return max(window // 2, 32)


def keys_of_block(window: int, causal: bool) -> int:
    """Gives R, how many keys a query is multiplied with."""
    block = block_length(window)
    return block + (1 if causal else 2) * _reach(window, block) * block


def _reach(window: int, block: int) -> int:
    """How many neighbours of a block the window of its first (or last) position reaches into."""
    return -(-(window - 1) // block)


def banded_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    window: int,
    *,
    causal: bool,
    real: Tensor | None = None,
    document_ids: Tensor | None = None,
    dropout: Callable[[Tensor], Tensor] = tf.identity,
) -> Tensor:
    """Attends to the keys less than `window` positions away.

    Args:
        query: float `(B, H, T, K)`, scaled.
        key: float `(B, H, T, K)`.
        value: float `(B, H, T, K)`.
        window: positions that a query sees on either side, itself included.
        causal: the side before it only.
        real: bool `(B, T)` or `(1, T)`, False where a key is padding.
        document_ids: int `(B, T)`; a query sees the keys of its own document only.
        dropout: what happens to the attention weights.

    Returns:
        float `(B, H, T, K)`. A query that may see nothing gets a finite mixture.
    """
    batch, heads, length, width = shape_of(query)
    size, reach = block_length(window), _reach(window, block_length(window))
    ahead = 0 if causal else reach
    # What is shorter than a block is one block of its own length. 1: there may be nothing at all.
    if isinstance(length, int):
        size = max(min(size, length), 1)
    else:
        size = tf.clip_by_value(length, 1, size)
    count = -(-length // size)

    def blocks(x: Tensor) -> Tensor:
        """`(B, H, T, ...)` to `(B, H, N, C, ...)`."""
        batch, heads, _, width = shape_of(x)
        padded = tf.pad(x, [[0, 0], [0, 0], [0, count * size - length], [0, 0]])
        return tf.reshape(padded, [batch, heads, count, size, width])

    def neighbourhoods(x: Tensor) -> Tensor:
        """`(B, H, T, ...)` to `(B, H, N, R, ...)`, zeros where there is nothing."""
        blocked = tf.pad(blocks(x), [[0, 0], [0, 0], [reach, ahead], [0, 0], [0, 0]])
        near = [_part(blocked, i, count) for i in range(reach + 1 + ahead)]
        return tf.concat(near, 3)

    def column(x_BT: Tensor) -> Tensor:
        return x_BT[:, None, :, None]

    # Counted from the first key that a block meets.
    place_1C = tf.range(reach * size, (reach + 1) * size)[None]
    place_1R = tf.range((reach + 1 + ahead) * size)[None]
    seen = places_mask(place_1C, place_1R, causal=causal, window=window)
    real_BT = tf.ones([1, length], "bool") if real is None else real
    # As the last dimension: R.
    seen &= tf.linalg.matrix_transpose(neighbourhoods(column(real_BT)))
    if document_ids is not None:
        of_key = tf.linalg.matrix_transpose(neighbourhoods(column(document_ids)))
        seen &= blocks(column(document_ids)) == of_key

    score_BHNCR = tf.matmul(blocks(query), neighbourhoods(key), transpose_b=True)
    score_BHNCR = tf.cast(score_BHNCR, "float32") + tf.where(seen, 0.0, MASKED)
    weight_BHNCR = dropout(tf.cast(tf.nn.softmax(score_BHNCR), value.dtype))
    mixed_BHNCK = tf.matmul(weight_BHNCR, neighbourhoods(value))
    mixed_BHTK = tf.reshape(mixed_BHNCK, [batch, heads, count * size, width])
    return _part(mixed_BHTK, 0, length)


def _part(x: Tensor, first: int, count: Tensor) -> Tensor:
    """Gives `x[:, :, first : first + count]`, whose gradient TensorFlow makes ten times slower."""
    rest = len(x.shape) - 3
    return tf.slice(x, [0, 0, first, *[0] * rest], [-1, -1, count, *[-1] * rest])
