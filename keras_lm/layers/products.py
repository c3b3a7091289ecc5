"""Products of few rows by large matrices, as in a decode loop, which reads every weight each time.

How fast they are on a CPU depends on how they are put. Measured with oneDNN on 2 cores:

- One row by a kernel keeps one core busy. As the transposed kernel by a column it is shared by all
  of them: two thirds of the time. Several rows are faster the usual way.
- Few rows by a long table are preceded by a rearrangement of the whole table, which takes longer
  than the product. A piece of it stays in the processor's caches: a quarter of the time for 8 rows.
  A slice of a table's rows is no copy.

N few rows, D width, F width of the output, V rows of a table.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

Tensor = Any

# Numbers of a kernel from which on it is worth a look at how many rows there are.
_LARGE = 2**18
# Rows of a piece of a table.
_PIECE = 3_072


def few_by_kernel(rows: Tensor, kernel: Tensor, finish: Callable[[Tensor], Tensor]) -> Tensor:
    """Gives `finish(rows @ kernel)`.

    Args:
        rows: float `(N, D)`.
        kernel: float `(D, F)`.
        finish: what happens to the product, `(N, F)` to `(N, F)`; close behind it, so that
            TensorFlow makes one operation of both.
    """
    size, width = kernel.shape

    def one() -> Tensor:
        column_F1 = tf.matmul(kernel, rows, transpose_a=True, transpose_b=True)
        return finish(tf.reshape(column_F1, [-1, width]))

    def several() -> Tensor:
        return finish(tf.matmul(rows, kernel))

    count = rows.shape[0]
    if size * width < _LARGE or count is not None:
        return one() if count == 1 and size * width >= _LARGE else several()
    found = tf.cond(tf.equal(tf.shape(rows)[0], 1), one, several)
    found.set_shape([None, width])
    return found


def few_by_table(rows: Tensor, table: Tensor) -> Tensor:
    """Multiplies `(N, D)` by the rows of a table `(V, D)`: float `(N, V)`."""
    pieces = [
        tf.matmul(rows, table[first : first + _PIECE], transpose_b=True)
        for first in range(0, table.shape[0], _PIECE)
    ]
    return tf.concat(pieces, -1)
