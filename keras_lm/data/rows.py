"""Rows of special tokens and text, cut from flat arrays of ids.

N tokens, R rows, B batch, T length.
"""

from typing import Any

import numpy as np
import tensorflow as tf

Tensor = Any


def word_start(ids: np.ndarray, continues: np.ndarray | None, start: int, end: int) -> int:
    """The last place in `(start, end]` where a cut divides no word; `end` where there is none.

    Args:
        ids: `(N,)`.
        continues: bool `(V,)`, True for pieces that go on with a word, or None: every place does.
        start: where the part to be cut begins.
        end: where it ends at the latest.
    """
    if continues is None or end >= len(ids):
        return end
    for place in range(end, start, -1):
        if not continues[ids[place]]:
            return place
    return end


def assemble(
    ids: Tensor,
    first: tuple[Tensor, Tensor],
    second: tuple[Tensor, Tensor] | None,
    *,
    sequence_length: int,
    cls_id: int,
    sep_id: int,
    pad_id: int,
) -> dict[str, Tensor]:
    """`[CLS] first [SEP]` or `[CLS] first [SEP] second [SEP]`, padded on the right.

    Args:
        ids: integers `(N,)`.
        first: where the spans begin in `ids`, int64 `(B,)`, and how long they are, int64 `(B,)`.
        second: the same, or None.
        sequence_length: T.
        cls_id: the id put before the first span.
        sep_id: the id put behind each span.
        pad_id: the id that fills the row.

    Returns:
        `token_ids` int32 `(B, T)`, `segment_ids` int32 `(B, T)` (1 for the second span and its
        `[SEP]`), `padding_mask` bool `(B, T)`, True = real token.
    """
    place_T = tf.range(sequence_length, dtype=tf.int64)
    start_B1, end_B1 = first[0][:, None], first[1][:, None] + 1  # end: the place of the first [SEP]
    source_BT = start_B1 + place_T - 1
    last_B1 = end_B1
    if second is not None:
        last_B1 = end_B1 + second[1][:, None] + 1
        source_BT = tf.where(
            place_T <= end_B1, source_BT, second[0][:, None] + place_T - end_B1 - 1
        )
    source_BT = tf.clip_by_value(source_BT, 0, tf.shape(ids, tf.int64)[0] - 1)
    token_BT = tf.cast(tf.gather(ids, source_BT), tf.int32)
    token_BT = tf.where((place_T == end_B1) | (place_T == last_B1), sep_id, token_BT)
    token_BT = tf.where(place_T == 0, cls_id, token_BT)
    real_BT = place_T <= last_B1
    return {
        "token_ids": tf.where(real_BT, token_BT, pad_id),
        "segment_ids": tf.cast((place_T > end_B1) & real_BT, tf.int32),
        "padding_mask": real_BT,
    }
