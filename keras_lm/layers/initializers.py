"""Initializers that draw anew for every weight."""

import contextlib
import contextvars
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

Initializer = Any  # a name, a config or a keras.initializers.Initializer


class TooLargeError(Exception):
    """More numbers were wanted than `undrawn` allows."""


class _Undrawn(keras.initializers.Initializer):
    """Memory that nobody wrote to, up to a number of values over all calls."""

    def __init__(self, most: int) -> None:
        self.left = most

    def clone(self) -> "_Undrawn":
        """Keras copies what it shares; this one counts for all."""
        return self

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        self.left -= math.prod(shape)
        if self.left < 0:
            raise TooLargeError
        # Zeros would have to be written, and take up memory while the file's values arrive.
        return tf.raw_ops.Empty(shape=shape, dtype=dtype or "float32")


_undrawn: contextvars.ContextVar[_Undrawn | None] = contextvars.ContextVar("undrawn", default=None)


@contextlib.contextmanager
def undrawn(most: int) -> Iterator[None]:
    """Kernels and tables that are built inside get no values: a file fills them right afterwards.

    Args:
        most: numbers that the file has.

    Raises:
        TooLargeError: the weights would be more, so that memory for them would be wasted.
    """
    token = _undrawn.set(_Undrawn(most))
    try:
        yield
    finally:
        _undrawn.reset(token)


def fresh(initializer: Initializer) -> keras.initializers.Initializer:
    """Copies an initializer, so that two weights do not start with the same numbers.

    A Keras initializer without a seed chooses one when it is made and then draws the same numbers
    at every call.
    """
    nothing = _undrawn.get()
    if nothing is not None:
        return nothing
    found = keras.initializers.get(initializer)
    return (
        found.__class__.from_config(found.get_config()) if hasattr(found, "get_config") else found
    )


def side_by_side(initializer: Initializer, parts: int) -> Callable[..., Any]:
    """Initializes each of `parts` equal column blocks of a kernel like a kernel of its own.

    Where the spread depends on the width (Glorot), one draw for the whole would be too narrow.
    """
    if _undrawn.get() is not None:
        return fresh(initializer)
    # Seeds are chosen here: how often `draw` is called depends on the distribution strategy.
    initializers = [fresh(initializer) for _ in range(parts)]

    def draw(shape: tuple[int, ...], dtype: Any = None) -> Any:
        block = (*shape[:-1], shape[-1] // parts)
        return keras.ops.concatenate([one(block, dtype=dtype) for one in initializers], -1)

    return draw
