"""Rows of special tokens and text, cut from flat arrays of ids.

N tokens, R rows, B batch, T length.
"""

import itertools
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.data.corpus import Corpus

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


def consecutive_rows(
    corpus: Corpus, capacity: int, continues: np.ndarray | None, end_id: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Where rows of at most `capacity` tokens begin, and how long they are; int64 `(R,)` each.

    With an `end_id` behind each document, rows go across; at the edge of a row it is left out.
    """
    ids = corpus.ids
    borders = corpus.texts[corpus.documents].tolist()
    if end_id is not None:
        borders = [0, len(ids)]
    parts = [
        rows_between(ids, place, end, end, capacity, continues, end_id)[:2]
        for place, end in itertools.pairwise(borders)
    ]
    starts, lengths = zip(*parts, strict=True)
    return np.concatenate(starts), np.concatenate(lengths)


def rows_between(
    ids: np.ndarray,
    place: int,
    end: int,
    limit: int,
    capacity: int,
    continues: np.ndarray | None,
    end_id: int | None,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Rows as `consecutive_rows` cuts them, from a place on.

    Args:
        ids: `(N,)`.
        place: where the first row begins.
        end: where the text ends; `capacity` behind `limit` at least, or at the end of all text.
        limit: no row begins here or later.
        capacity: see `consecutive_rows`.
        continues: see there.
        end_id: see there.

    Returns:
        Where rows begin and how long they are, int64 `(R,)` each, and where the next one begins.
    """
    starts, lengths = [], []
    while place < limit:
        if ids[place] == end_id:
            place += 1
            continue
        stop = min(place + capacity, end)
        if stop < end:
            stop = word_start(ids, continues, place, stop)
        starts.append(place)
        lengths.append(stop - place - int(ids[stop - 1] == end_id))
        place = stop
    return np.array(starts, np.int64), np.array(lengths, np.int64), place


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


def padded(
    ids: Tensor, start: Tensor, length: Tensor, width: Tensor, pad_id: int
) -> tuple[Tensor, Tensor]:
    """Spans as dense rows.

    Args:
        ids: integers `(N,)`.
        start: where the spans begin in `ids`, int64 `(B,)`.
        length: how long they are, int64 `(B,)`, at most T.
        width: T, an integer.
        pad_id: the id that fills the rows.

    Returns:
        int32 `(B, T)`, and bool `(B, T)`, True = no padding.
    """
    place_T = tf.range(tf.cast(width, tf.int64))
    real_BT = place_T < length[:, None]
    source_BT = start[:, None] + tf.where(real_BT, place_T, 0)
    return tf.where(real_BT, tf.cast(tf.gather(ids, source_BT), tf.int32), pad_id), real_BT


def framed(
    token_ids: Tensor, real: Tensor, before: list[int], behind: int, pad_id: int
) -> tuple[Tensor, Tensor]:
    """Dense rows with ids before and one behind the text of each.

    Args:
        token_ids: int32 `(B, T)`.
        real: bool `(B, T)`, True = no padding, which is on the right.
        before: ids, few of them.
        behind: an id.
        pad_id: the id that fills the rows.

    Returns:
        int32 and bool `(B, len(before) + T + 1)`.
    """
    shape = [tf.shape(token_ids)[0], 1]
    columns = [tf.fill(shape, id_) for id_ in before]
    whole_BT = tf.concat([*columns, token_ids, tf.fill(shape, pad_id)], -1)
    end_B1 = len(before) + tf.reduce_sum(tf.cast(real, tf.int32), -1, keepdims=True)
    place_T = tf.range(whole_BT.shape[-1])
    whole_BT = tf.where(place_T == end_B1, behind, tf.where(place_T < end_B1, whole_BT, pad_id))
    return whole_BT, place_T <= end_B1
