"""Products of few rows, as in a decode loop, which reads every weight and the cache each time.

How fast they are on a CPU depends on how they are put. Measured with oneDNN on 2 cores:

- One row by a kernel keeps one core busy. As the transposed kernel by a column it is shared by all
  of them: two thirds of the time. Several rows are faster the usual way.
- Few rows by a long table are preceded by a rearrangement of the whole table, which takes longer
  than the product. A piece of it stays in the processor's caches. A slice of a table's rows is no
  copy. From four rows on the pieces by the transposed rows, as one batched product, take two thirds
  of that time; of fewer they take more.
- A batched product of one row by each matrix, and a softmax of one row, are mostly preparation in
  oneDNN: attention of one query takes a quarter of the time without it. `BatchMatMulV3` is the same
  operation as `tf.matmul`'s `BatchMatMulV2`, and TensorFlow leaves it alone.

N few rows, D width, F width of the output, V rows of a table, T one query, S keys.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

Tensor = Any

# Numbers of a kernel from which on it is worth a look at how many rows there are.
_LARGE = 2**18
# Rows of a piece of a table.
_PIECE = 3_072
# Rows from which on a table is multiplied by them in one batched product.
_BATCHED_FROM = 4


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
    # Turned, a kernel of half precision is rearranged as a whole before it is multiplied.
    turns = size * width >= _LARGE and rows.dtype == tf.float32
    if not turns or count is not None:
        return one() if count == 1 and turns else several()
    found = tf.cond(tf.equal(tf.shape(rows)[0], 1), one, several)
    found.set_shape([None, width])
    return found


def few_by_table(rows: Tensor, table: Tensor) -> Tensor:
    """Multiplies `(N, D)` by the rows of a table `(V, D)`: float `(N, V)`."""
    size, width = table.shape
    count, known = size // _PIECE, rows.shape[0]

    def one_by_one() -> Tensor:
        pieces = [
            tf.matmul(rows, table[first : first + _PIECE], transpose_b=True)
            for first in range(0, size, _PIECE)
        ]
        return tf.concat(pieces, -1)

    def batched() -> Tensor:
        pieces = tf.reshape(table[: count * _PIECE], [count, _PIECE, width])
        found_VN = tf.reshape(tf.matmul(pieces, tf.transpose(rows)[None]), [count * _PIECE, -1])
        rest_VN = tf.matmul(table[count * _PIECE :], rows, transpose_b=True)
        return tf.transpose(tf.concat([found_VN, rest_VN], 0))

    if count < 2 or known is not None:
        return batched() if count > 1 and known >= _BATCHED_FROM else one_by_one()
    found = tf.cond(tf.shape(rows)[0] < _BATCHED_FROM, one_by_one, batched)
    found.set_shape([None, size])
    return found


def one_by_each(row: Tensor, matrices: Tensor, *, transpose_b: bool = False) -> Tensor:
    """Multiplies one row by each matrix.

    Args:
        row: float `(B, H, 1, K)`.
        matrices: float `(B, H, K, S)`, or `(B, H, S, K)` with `transpose_b`.
        transpose_b: as of `tf.matmul`.

    Returns:
        float `(B, H, 1, S)`.
    """
    if row.dtype != tf.float32:
        return tf.matmul(row, matrices, transpose_b=transpose_b)
    return tf.raw_ops.BatchMatMulV3(x=row, y=matrices, Tout=tf.float32, adj_y=transpose_b)


def softmax_of_one(scores: Tensor) -> Tensor:
    """Gives the softmax of float32 `(B, H, 1, S)`."""
    share = tf.exp(scores - tf.reduce_max(scores, -1, keepdims=True))
    return share / tf.reduce_sum(share, -1, keepdims=True)
