"""Which key a query may see. Every mask is bool, True where attention is allowed.

B batch, T queries, S keys.
"""

from typing import Any

import tensorflow as tf

Tensor = Any


def padding_mask(real_BS: Tensor) -> Tensor:
    """Hides padding from every query.

    Args:
        real_BS: bool or number, `(B, S)`; true where a key is no padding.

    Returns:
        `(B, 1, S)`, bool.
    """
    return tf.cast(real_BS, "bool")[:, None, :]


def causal_mask(
    query_length: Tensor, key_length: Tensor, offset: Tensor = 0, window: int | None = None
) -> Tensor:
    """Hides the future: query `t` sees keys `0 .. offset + t`.

    Args:
        query_length: T, int or int scalar.
        key_length: S, int or int scalar.
        offset: number of keys that precede the first query, int scalar or int `(B,)`. Positive only
            while decoding with a cache.
        window: sees the last `window` of these keys only, itself included (Child et al. 2019,
            arXiv:1904.10509; GPT-3's banded layers). None: all.

    Returns:
        `(1, T, S)`, or `(B, T, S)` where `offset` has rows; bool.
    """
    query_BT = tf.reshape(offset, [-1, 1]) + tf.range(query_length)
    key_S = tf.range(key_length)
    seen = key_S <= query_BT[:, :, None]
    if window is not None:
        seen &= key_S > query_BT[:, :, None] - window
    return seen


def banded_mask(query_length: Tensor, key_length: Tensor, window: int) -> Tensor:
    """Shows a query the keys less than `window` places away, on both sides.

    Returns:
        `(1, T, S)`, bool.
    """
    distance = tf.range(query_length)[:, None] - tf.range(key_length)[None, :]
    return (tf.abs(distance) < window)[None]


def document_mask(document_ids: Tensor) -> Tensor:
    """Keeps attention within the documents of a packed row.

    Args:
        document_ids: int `(B, T)`; equal where two tokens are of one document.

    Returns:
        `(B, T, T)`, bool.
    """
    return document_ids[:, :, None] == document_ids[:, None, :]


def document_positions(document_ids: Tensor) -> Tensor:
    """Numbers the tokens of each document of a packed row from 0.

    Args:
        document_ids: int `(B, T)`; equal where two tokens are of one document.

    Returns:
        int32 `(B, T)`.
    """
    length = tf.shape(document_ids)[1]
    earlier_BTT = document_mask(document_ids) & causal_mask(length, length)
    return tf.reduce_sum(tf.cast(earlier_BTT, "int32"), axis=-1) - 1
