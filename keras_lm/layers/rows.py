"""`(..., width)` as flat rows and back: one large product is faster than a batch of small ones."""

from typing import Any

import tensorflow as tf

Tensor = Any


def shape_of(x: Tensor) -> list[Any]:
    """Gives each dimension as a number where it is known, as a scalar tensor where it is not."""
    dynamic = tf.shape(x)
    return [dynamic[i] if size is None else size for i, size in enumerate(x.shape)]


def known_width(shape: tuple[int | None, ...]) -> int:
    """Gives the last dimension.

    Raises:
        ValueError: it is not known.
    """
    if shape[-1] is None:
        raise ValueError(f"The last dimension must be known. Received: shape {tuple(shape)}")
    return shape[-1]


def flat_rows(x: Tensor) -> Tensor:
    """Reshapes `(..., D)` to `(rows, D)`."""
    return tf.reshape(x, [-1, x.shape[-1]])


def as_before(rows: Tensor, x: Tensor) -> Tensor:
    """Reshapes `(rows, F)` to `(..., F)`, with the leading dimensions of `x`."""
    leading = list(x.shape[:-1])
    if leading.count(None) == 1 and 0 not in leading:
        # TensorFlow finds out one size by itself, with less work than asking `x`.
        return tf.reshape(
            rows, [*(-1 if size is None else size for size in leading), rows.shape[-1]]
        )
    return tf.reshape(rows, [*shape_of(x)[:-1], rows.shape[-1]])
