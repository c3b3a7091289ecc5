"""Code points, and tables over all of them, in the graph.

A table has one value for each of the 1,114,112 code points. Most pages of 256 code points are
alike, so two stages hold it: the place of each page, and the cells of the distinct pages.

N code points.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.tokenizers.constants import constant

Tensor = Any

NUM_CODE_POINTS = 0x110000
_PAGE = 256


def vector(strings: Tensor) -> Tensor:
    """Strings as a string tensor `(B,)`; raises ValueError where they are another shape."""
    strings = tf.convert_to_tensor(strings, tf.string)
    if strings.shape.rank is None:
        strings = tf.ensure_shape(strings, [None])
    if strings.shape.rank != 1:
        raise ValueError(f"strings must have shape (B,). Received: {strings.shape}")
    return strings


def decode(strings: Tensor) -> Tensor:
    """UTF-8 strings `(B,)` to an int32 RaggedTensor `(B, None)` of code points.

    Invalid bytes become U+FFFD as in Python's `decode("utf-8", "replace")`.
    """
    return tf.strings.unicode_decode(strings, "UTF-8", errors="replace")


def encode(code_points: Tensor) -> Tensor:
    """An int32 RaggedTensor `(B, None)` of code points to UTF-8 strings `(B,)`."""
    return tf.strings.unicode_encode(code_points, "UTF-8")


def fold(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A value for each code point, `(0x110000,)`, to the two stages that `Table` takes."""
    pages, place = np.unique(values.reshape(-1, _PAGE), axis=0, return_inverse=True)
    return place.reshape(-1).astype(np.int32) * _PAGE, pages.reshape(-1)


class Table:
    """One value for each code point.

    Args:
        places: int32 `(4352,)`, where the cells of each page begin.
        cells: `(pages * 256,)`, any dtype of numbers.
    """

    def __init__(self, places: np.ndarray, cells: np.ndarray):
        self._places = constant(places)
        self._cells = constant(cells)

    def __call__(self, code_points: Tensor) -> Tensor:
        """The values of int32 code points, of any shape."""
        place = tf.gather(self._places, tf.bitwise.right_shift(code_points, 8))
        return tf.gather(self._cells, place + tf.bitwise.bitwise_and(code_points, _PAGE - 1))
