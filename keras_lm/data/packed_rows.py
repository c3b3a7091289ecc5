"""Texts, or pairs of texts, to the rows of ids that an encoder reads: tokenized once, on the host.

N tokens, R rows, B batch, T length.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_lm.data.rows import padded
from keras_lm.tokenizers.tokenizer import Tokenizer

Tensor = Any

_ROWS_AT_ONCE = 4096  # bounds the memory of the padded rows


class PackedRows(NamedTuple):
    """Rows with their special tokens, one behind the other.

    Attributes:
        ids: `(N,)`, uint16 where the vocabulary allows it, or else int32.
        starts: int64 `(R,)`, where each row begins.
        lengths: int64 `(R,)`.
        firsts: int64 `(R,)`, tokens of the first segment; None where the tokenizer has no segments.
        cut: bool `(R,)`, whether a row lost tokens.
    """

    ids: Any
    starts: Any
    lengths: Any
    firsts: Any
    cut: np.ndarray


def pack_rows(
    tokenizer: Tokenizer, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int
) -> PackedRows:
    """Tokenizes with the library's threads and packs as `Tokenizer.pack` does.

    Args:
        tokenizer: of the model.
        texts: R texts.
        pairs: the second text of each; or None.
        max_length: tokens of a row at most. Longer texts lose their end, of pairs the longer first.

    Raises:
        ValueError: a pair for a tokenizer without a separator, or no room for the special tokens.
    """
    dtype = np.uint16 if tokenizer.vocab_size <= 2**16 else np.int32
    ids, lengths, seconds, cut = [], [], [], []
    for begin in range(0, len(texts), _ROWS_AT_ONCE):
        sides = [
            _ragged(tokenizer.encode_batch(side[begin : begin + _ROWS_AT_ONCE]))
            for side in (texts, pairs)
            if side is not None
        ]
        with tf.device("CPU:0"):
            packed = tokenizer.pack(*sides, max_length=max_length)
        real_RT = packed["padding_mask"].numpy()
        ids.append(packed["token_ids"].numpy()[real_RT].astype(dtype))
        lengths.append(real_RT.sum(1, dtype=np.int64))
        whole = sum(side.row_lengths().numpy() for side in sides)
        cut.append(whole > lengths[-1] - _num_special(tokenizer, len(sides)))
        if "segment_ids" in packed:
            seconds.append(packed["segment_ids"].numpy().sum(1, dtype=np.int64))
    length_R = np.concatenate(lengths)
    return PackedRows(
        np.concatenate(ids),
        np.cumsum(length_R) - length_R,
        length_R,
        length_R - np.concatenate(seconds) if seconds else None,
        np.concatenate(cut),
    )


def _ragged(rows: list[list[int]]) -> tf.RaggedTensor:
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    flat = np.fromiter((id_ for row in rows for id_ in row), np.int32, int(lengths.sum()))
    return tf.RaggedTensor.from_row_lengths(flat, lengths, validate=False)


def _num_special(tokenizer: Tokenizer, number: int) -> int:
    """Special tokens of a row of so many texts."""
    texts = [""] * number
    return len(tokenizer.encode(*texts))


class RowTables:
    """Packed rows as tensors, from which batches are taken in the graph.

    Args:
        rows: of R rows.
        pad_id: fills the rows of a batch.
    """

    def __init__(self, rows: PackedRows, pad_id: int | None) -> None:
        self._pad_id = pad_id or 0
        with tf.device("CPU:0"):
            self._ids, self._starts, self._lengths = map(tf.constant, rows[:3])
            self._firsts = None if rows.firsts is None else tf.constant(rows.firsts)

    def spans(self, row_B: Tensor) -> tuple[Tensor, Tensor]:
        """Where rows begin among all tokens, and their lengths; int64 `(B,)` each."""
        return tf.gather(self._starts, row_B), tf.gather(self._lengths, row_B)

    def batch(self, row_B: Tensor, length: Tensor) -> dict[str, Tensor]:
        """Rows by their number, int64 `(B,)`, padded to `length`.

        Returns:
            `token_ids` int32 `(B, T)`, `padding_mask` bool `(B, T)`, and where the tokenizer has
            segments `segment_ids` int32 `(B, T)`.
        """
        token_ids, real_BT = padded(self._ids, *self.spans(row_B), length, self._pad_id)
        inputs = {"token_ids": token_ids, "padding_mask": real_BT}
        if self._firsts is not None:
            place_T = tf.range(tf.cast(length, tf.int64))
            second_BT = place_T >= tf.gather(self._firsts, row_B)[:, None]
            inputs["segment_ids"] = tf.cast(second_BT & real_BT, tf.int32)
        return inputs
