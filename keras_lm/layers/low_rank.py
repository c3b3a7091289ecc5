"""What is added to a kernel that stays as it is: products of two narrow matrices (LoRA).

Hu et al. 2021, arXiv:2106.09685, section 4.1: `x W + scale (x A) B`, where A starts at random and
B at zero. Knows columns of a kernel, and no layer.

N rows, D width, F columns, R rank; Q the ranks of several updates together.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

Tensor = Any


@dataclasses.dataclass(frozen=True)
class LowRank:
    """An update of some columns of a kernel.

    Attributes:
        name: of what the columns are, such as "query"; "" for a whole kernel.
        first: of the columns.
        last: behind the last column.
        a: variable `(D, R)`.
        b: variable `(R, last - first)`.
        scale: of the product.
    """

    name: str
    first: int
    last: int
    a: Any
    b: Any
    scale: float

    @property
    def rank(self) -> int:
        """R."""
        return self.a.shape[1]


def factors(updates: Sequence[LowRank], width: int, dtype: Any) -> tuple[Tensor, Tensor]:
    """Makes one product of several updates.

    Args:
        updates: of one kernel, of one at least.
        width: F, columns of the kernel.
        dtype: of the result.

    Returns:
        `(D, Q)` and `(Q, F)`, whose product is the sum of the updates; scales are in the second.
    """
    a_DQ = tf.concat([tf.cast(update.a, dtype) for update in updates], 1)
    b_QF = tf.concat(
        [
            tf.pad(
                tf.cast(update.scale, dtype) * tf.cast(update.b, dtype),
                [[0, 0], [update.first, width - update.last]],
            )
            for update in updates
        ],
        0,
    )
    return a_DQ, b_QF


def merged(kernel: Any, updates: Sequence[LowRank]) -> Tensor:
    """Gives the kernel `(D, F)` with its updates added, in its dtype; computed in float32 at least.

    Args:
        kernel: variable `(D, F)`.
        updates: of its columns, one at least.
    """
    kernel_DF = tf.convert_to_tensor(kernel)
    dtype = tf.float64 if kernel_DF.dtype == tf.float64 else tf.float32
    a_DQ, b_QF = factors(updates, kernel_DF.shape[1], dtype)
    return tf.cast(tf.cast(kernel_DF, dtype) + tf.matmul(a_DQ, b_QF), kernel_DF.dtype)
