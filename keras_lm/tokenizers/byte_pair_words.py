r"""GPT-2's words in the graph: all boundaries at once, from the kinds of neighbouring characters.

The rule, as a regular expression (Radford et al. 2019, `encoder.py`):

    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

A word begins at each change of class, except after a space, which the next word takes along; the
last of several whitespace characters begins a word unless the text ends there. An apostrophe that
begins a word is a contraction with the letters that follow, and then the rest is another word. All
of that can be read off the character before, the character itself and the two after it.

B strings, N characters, W words.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_lm.tokenizers import byte_pair_tables, characters
from keras_lm.tokenizers.constants import constant

Tensor = Any

# Kinds of characters. END stands before and behind every string.
_END, _OTHER, _APOSTROPHE, _NUMBER, _SPACE, _BLANK, _LETTER, _STMD, _RV, _E, _L = range(11)
_LETTERS = {_LETTER, _STMD, _RV, _E, _L}
_SYMBOLS = {_OTHER, _APOSTROPHE}
_WHITESPACE = {_SPACE, _BLANK}
# What four neighbours say of the second: nothing, that it begins a word, or that it begins a
# contraction of two or three characters.
_INSIDE, _BEGINS, _SHORT, _LONG = range(4)


class Words(NamedTuple):
    """The words of some strings, in order; one more word per string marks its end.

    Attributes:
        text_W: string `(W,)`, UTF-8; without meaning at an end.
        is_end_W: bool `(W,)`, True where a string ends.
    """

    text_W: Tensor  # noqa: N815
    is_end_W: Tensor  # noqa: N815


class WordSplitter:
    """Splits strings as the library's `ByteLevel(add_prefix_space=False, use_regex=True)`."""

    def __init__(self):
        places, cells = byte_pair_tables.load()
        kinds = np.array([_OTHER, _LETTER, _NUMBER, _SPACE], np.int32)[cells]
        for kind, letters in (
            (_APOSTROPHE, "'"),
            (_BLANK, " "),
            (_STMD, "stmd"),
            (_RV, "rv"),
            (_E, "e"),
            (_L, "l"),
        ):
            kinds[[places[0] + ord(letter) for letter in letters]] = kind
        self._kinds = characters.Table(places, kinds)
        self._verdicts = constant(_verdicts())

    def __call__(self, strings: Tensor) -> Words:
        """Splits strings `(B,)`."""
        # The character that is added becomes the END of its string, whatever the text holds.
        code_points = characters.decode(tf.strings.join([strings, "\n"]))
        kind_N = self._kinds(code_points.values)
        kind_N = tf.tensor_scatter_nd_update(
            kind_N,
            (code_points.row_splits[1:] - 1)[:, None],
            tf.fill([code_points.nrows()], _END),
        )
        around = tf.pad(kind_N, [[1, 2]], constant_values=_END)
        pair = around[:-1] * 16 + around[1:]  # N + 2: each character with its right neighbour
        verdict_N = tf.gather(self._verdicts, pair[:-2] * 256 + pair[2:])
        before = tf.pad(verdict_N, [[3, 0]])
        begins_N = (
            ((verdict_N > 0) & (before[2:-1] < _SHORT))
            | (before[1:-2] == _SHORT)
            | (before[:-3] == _LONG)
        )
        start_W = tf.where(begins_N)[:, 0]
        splits = tf.concat([start_W, tf.shape(kind_N, tf.int64)], 0)
        words = tf.RaggedTensor.from_row_splits(code_points.values, splits, validate=False)
        return Words(characters.encode(words), tf.gather(kind_N, start_W) == _END)


def _verdicts() -> np.ndarray:
    """The verdict on the second of four kinds, int32 `(16 ** 4,)`."""
    kinds = range(_L + 1)
    verdicts = np.zeros([16] * 4, np.int32)
    for before in kinds:
        for kind in kinds:
            for after in kinds:
                if not _begins(before, kind, after):
                    continue
                verdicts[before, kind, after] = _BEGINS
                if kind == _APOSTROPHE:
                    if after == _STMD:
                        verdicts[before, kind, after] = _SHORT
                    elif after == _RV:
                        verdicts[before, kind, after, _E] = _LONG
                    elif after == _L:
                        verdicts[before, kind, after, _L] = _LONG
    return verdicts.reshape(-1)


def _begins(before: int, kind: int, after: int) -> bool:
    """Whether a character begins a word, contractions aside."""
    if _END in (before, kind):
        return True
    if kind in _WHITESPACE:
        return before not in _WHITESPACE or (after not in _WHITESPACE and after != _END)
    if before == _BLANK:
        return False  # the space has begun this word
    return not any({before, kind} <= group for group in (_LETTERS, _SYMBOLS, {_NUMBER}))
