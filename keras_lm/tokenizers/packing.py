"""Ragged ids to the dense rows that a model takes, in the graph.

B batch, T length.
"""

from typing import Any

import tensorflow as tf

Tensor = Any


def ragged(ids: Tensor) -> Tensor:
    """`ids` as an int32 RaggedTensor `(B, None)`; dense rows keep every column."""
    if not isinstance(ids, tf.RaggedTensor):
        ids = tf.RaggedTensor.from_tensor(tf.convert_to_tensor(ids))
    return tf.cast(ids, tf.int32)


def pack(
    first: Tensor,
    second: Tensor | None,
    *,
    max_length: int,
    start_id: int | None,
    separator_id: int | None,
    pad_id: int,
    separators_between: int = 1,
    segments: bool = True,
) -> dict[str, Tensor]:
    """Cuts, adds the special tokens and pads: `[start] a [separator] (b [separator])`.

    A pair that is too long loses tokens from the end of its longer text until both fit, exactly as
    the strategy `longest_first` of the `tokenizers` library.

    Args:
        first: RaggedTensor of integers `(B, None)`, or dense rows without padding.
        second: the same, or None.
        max_length: T, the length of every row that comes back.
        start_id: the token that begins a row, or None.
        separator_id: the token that ends each text, or None.
        pad_id: what fills the rest of a row.
        separators_between: how many separators stand between the texts of a pair; RoBERTa has two.
        segments: whether `segment_ids` are wanted.

    Returns:
        `token_ids` int32 `(B, T)`, `segment_ids` int32 `(B, T)`: 1 on the second text and its
        separator, where wanted, `padding_mask` bool `(B, T)`: True on real tokens.

    Raises:
        ValueError: a second text without a separator to tell the two apart, or a `max_length` with
            no room for the special tokens.
    """
    if second is not None and separator_id is None:
        raise ValueError(
            "Packing pairs takes a tokenizer with a separator token. Received: second without one"
        )
    pair = second is not None
    starts = int(start_id is not None)
    ends = int(separator_id is not None)  # the separators behind the last text
    behind_first = separators_between if pair else ends
    room = max_length - starts - behind_first - (ends if pair else 0)
    if room < 0 or max_length < 1:
        raise ValueError(
            "max_length must be positive and leave room for the special tokens of a row. "
            f"Received: max_length={max_length}"
        )
    first = ragged(first)
    values, offsets_B1 = [first.flat_values], first.row_starts()[:, None]
    lengths_B1 = first.row_lengths()[:, None]
    if pair:
        second = ragged(second)
        second_offsets_B1 = second.row_starts()[:, None] + tf.size(first.flat_values, tf.int64)
        values.append(second.flat_values)
        lengths_B1, second_lengths_B1 = _longest_first(
            lengths_B1, second.row_lengths()[:, None], room
        )
    else:
        lengths_B1 = tf.minimum(lengths_B1, room)
    fixed = [pad_id, separator_id if ends else pad_id, start_id if starts else pad_id]
    values.append(tf.constant(fixed, tf.int32))
    values_N = tf.concat(values, 0)
    size = tf.size(values_N, tf.int64)
    start, separator, pad = size - 1, size - 2, size - 3

    # Where each cell takes its value from, written from the end of the row to its start.
    position_1T = tf.range(max_length, dtype=tf.int64)[None]
    end_B1 = starts + lengths_B1  # where the first text ends
    total_B1 = end_B1 + behind_first
    index_BT = tf.where(position_1T < total_B1, separator, pad)
    in_second_BT = tf.zeros_like(index_BT, tf.bool)
    if pair:
        second_end_B1 = total_B1 + second_lengths_B1
        in_second_BT = (position_1T >= total_B1) & (position_1T <= second_end_B1)
        index_BT = tf.where(in_second_BT, separator, index_BT)
        index_BT = tf.where(
            in_second_BT & (position_1T < second_end_B1),
            second_offsets_B1 + position_1T - total_B1,
            index_BT,
        )
        total_B1 = second_end_B1 + ends
    index_BT = tf.where(position_1T < end_B1, offsets_B1 + position_1T - starts, index_BT)
    if starts:
        index_BT = tf.where(position_1T == 0, start, index_BT)
    packed = {"token_ids": tf.gather(values_N, index_BT)}
    if segments:
        packed["segment_ids"] = tf.cast(in_second_BT, tf.int32)
    return {**packed, "padding_mask": position_1T < total_B1}


def _longest_first(first_B1: Tensor, second_B1: Tensor, room: int) -> tuple[Tensor, Tensor]:
    """The lengths of both texts after the longer one was cut first."""
    short = tf.minimum(first_B1, second_B1)
    long = tf.maximum(first_B1, second_B1)
    cut = tf.minimum(long, tf.maximum(short, room - short))
    # Still too long: both texts exceed half of the room; the longer text gets the odd token.
    half = short + cut > room
    short = tf.where(half, tf.constant(room // 2, tf.int64), short)
    cut = tf.where(half, tf.constant(room - room // 2, tf.int64), cut)
    swapped = first_B1 > second_B1
    return tf.where(swapped, cut, short), tf.where(swapped, short, cut)
