"""Text to words as BERT's normalizer and pre-tokenizer see them, in the graph.

Clean, space out Chinese characters, decompose and strip accents, lower: all of it is one look-up
for each code point, in tables that `probe` made. Reordering of marks is the only step that looks at
neighbours; it and expansions to several characters run under `tf.cond`, for most texts need
neither.

B batch, N code points.
"""

import functools
import pathlib
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_lm.tokenizers import characters, probe
from keras_lm.tokenizers.constants import constant

Tensor = Any


class Words(NamedTuple):
    """The words of a batch, back to back.

    Attributes:
        code_points: int32 `(N,)`.
        begins: bool `(N,)`, True on the first code point of each word.
        rows: int64 `(N,)`, the row of each code point; ascending.
        num_rows: int64 scalar, B.
    """

    code_points: Tensor
    begins: Tensor
    rows: Tensor
    num_rows: Tensor


class BertWords:
    """Splits strings into normalized words.

    Args:
        lowercase: whether words are lowered.
        strip_accents: whether accents are stripped; this also decomposes Hangul.
        chinese: whether each Chinese character is a word of its own.
    """

    def __init__(self, lowercase: bool, strip_accents: bool, chinese: bool):
        arrays = _arrays(lowercase, strip_accents)
        chinese_cells = _chinese if chinese else _not_chinese
        self._table = characters.Table(arrays["places"], chinese_cells(arrays["cells"]))
        ends = arrays["ends"]
        # One expansion of nothing keeps the gathers legal where there is none.
        self._expansions = constant(np.append(chinese_cells(arrays["expansions"]), 0), tf.int32)
        self._begins = constant(np.append([0], ends)[: max(1, len(ends))], tf.int32)
        self._lengths = constant(
            np.diff(ends, prepend=0) if len(ends) else np.zeros(1, np.int32), tf.int32
        )

    def __call__(self, strings: Tensor) -> Words:
        """Strings `(B,)` to their words."""
        words, _ = self._split(characters.decode(strings))
        return words

    def with_places(self, strings: Tensor) -> tuple[Words, Tensor]:
        """Strings `(B,)` to their words, and the place of each code point in its text, int64.

        What a character became, however many code points, stands where it stood.
        """
        text = characters.decode(strings)
        place_N = tf.range(tf.size(text.flat_values, tf.int64))
        place_N -= tf.gather(text.row_starts(), text.value_rowids())
        words, (place_N,) = self._split(text, place_N)
        return words, place_N

    def _split(self, text: Tensor, *others: Tensor) -> tuple[Words, tuple]:
        """The words of code points, and of other values `(N,)` those that belong to them."""
        code_point_N, row_N = text.flat_values, text.value_rowids()
        cell_N = self._table(code_point_N)
        unusual_N = tf.bitwise.bitwise_and(cell_N, probe.EXPANDS | probe.RANK)
        cell_N, code_point_N, row_N, *others_N = tf.cond(
            tf.reduce_any(unusual_N > 0),
            lambda: self._reorder(*self._expand(cell_N, code_point_N, row_N, *others)),
            lambda: (cell_N, code_point_N, row_N, *others),
        )
        kind_N = tf.bitwise.bitwise_and(tf.bitwise.right_shift(cell_N, probe.KIND_SHIFT), 3)
        alone_N = tf.cast(kind_N == probe.ALONE, tf.int64)
        # Two code points are in one word where this number is the same; it never falls. A space
        # raises it once, a word of one character before and after itself, and so does a new row.
        breaks_N = tf.cast(kind_N == probe.SPACE, tf.int64) + 2 * alone_N
        word_N = tf.cumsum(breaks_N) - alone_N + row_N
        kept = tf.where((kind_N == probe.NORMAL) | (kind_N == probe.ALONE))[:, 0]
        word_N = tf.gather(word_N, kept)
        code_point_N = tf.bitwise.bitwise_and(
            tf.gather(code_point_N, kept) + tf.gather(cell_N, kept), probe.CODE_POINT
        )
        begins_N = tf.concat([tf.ones_like(word_N[:1], tf.bool), word_N[1:] != word_N[:-1]], 0)
        words = Words(code_point_N, begins_N, tf.gather(row_N, kept), text.nrows())
        return words, tuple(tf.gather(other, kept) for other in others_N)

    def _expand(
        self, cell_N: Tensor, code_point_N: Tensor, row_N: Tensor, *others: Tensor
    ) -> tuple:
        """One cell for each code point that comes out."""
        expands_N = tf.bitwise.bitwise_and(cell_N, probe.EXPANDS) > 0
        which_N = tf.where(expands_N, tf.bitwise.bitwise_and(cell_N, probe.CODE_POINT), 0)
        length_N = tf.where(expands_N, tf.gather(self._lengths, which_N), 1)
        begin_N = tf.gather(self._begins, which_N)
        places = tf.ragged.range(begin_N, begin_N + length_N)
        source = places.value_rowids()
        expands_M = tf.gather(expands_N, source)
        place_M = tf.where(expands_M, places.flat_values, 0)
        cell_M = tf.where(
            expands_M, tf.gather(self._expansions, place_M), tf.gather(cell_N, source)
        )
        return (
            cell_M,
            tf.where(expands_M, 0, tf.gather(code_point_N, source)),
            tf.gather(row_N, source),
            *(tf.gather(other, source) for other in others),
        )

    def _reorder(
        self, cell_N: Tensor, code_point_N: Tensor, row_N: Tensor, *others: Tensor
    ) -> tuple:
        """Sorts runs of marks by combining class, as NFD does; equals stay in order."""
        rank_N = tf.bitwise.right_shift(tf.bitwise.bitwise_and(cell_N, probe.RANK), 24)
        starts_N = tf.bitwise.bitwise_and(cell_N, probe.STARTS) > 0
        run_N = tf.cumsum(tf.cast(starts_N, tf.int64)) + row_N
        order = tf.argsort(run_N * 32 + tf.cast(rank_N, tf.int64), stable=True)
        # A run never crosses rows, so the rows stay as they are.
        moved = (tf.gather(other, order) for other in others)
        return tf.gather(cell_N, order), tf.gather(code_point_N, order), row_N, *moved


def _chinese(cells: np.ndarray) -> np.ndarray:
    alone = probe.ALONE << probe.KIND_SHIFT
    kinds = 3 << probe.KIND_SHIFT
    return np.where(cells & probe.CHINESE, cells & ~(kinds | probe.CHINESE) | alone, cells)


def _not_chinese(cells: np.ndarray) -> np.ndarray:
    return cells & ~probe.CHINESE


@functools.cache
def _file(path: pathlib.Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _arrays(lowercase: bool, strip_accents: bool) -> dict[str, np.ndarray]:
    parts = ("places", "cells", "expansions", "ends")
    file = _file(probe.PATH)
    return {part: file[probe.name(lowercase, strip_accents, part)] for part in parts}
