"""Initializers that draw anew for every weight."""

import contextlib
import contextvars
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras

Initializer = Any  # a name, a config or a keras.initializers.Initializer


class TooLargeError(Exception):
    """More numbers were wanted than `undrawn` allows."""


class _Zeros(keras.initializers.Initializer):
    """Zeros, up to a number of them over all calls."""

    def __init__(self, most: int) -> None:
        self.left = most

    def clone(self) -> "_Zeros":
        """Keras copies what it shares; this one counts for all."""
        return self

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        self.left -= math.prod(shape)
        if self.left < 0:
            raise TooLargeError
        return keras.ops.zeros(shape, dtype=dtype)


_undrawn: contextvars.ContextVar[_Zeros | None] = contextvars.ContextVar("undrawn", default=None)


@contextlib.contextmanager
def undrawn(most: int) -> Iterator[None]:
    """Weights that are built inside start as zeros: what a file fills need not be drawn first.

    Args:
        most: numbers that the file has.

    Raises:
        TooLargeError: the weights would be more, so that memory for them would be wasted.
    """
    token = _undrawn.set(_Zeros(most))
    try:
        yield
    finally:
        _undrawn.reset(token)


def fresh(initializer: Initializer) -> keras.initializers.Initializer:
    """Copies an initializer, so that two weights do not start with the same numbers.

    A Keras initializer without a seed chooses one when it is made and then draws the same numbers
    at every call.
    """
    zeros = _undrawn.get()
    if zeros is not None:
        return zeros
    found = keras.initializers.get(initializer)
    return (
        found.__class__.from_config(found.get_config()) if hasattr(found, "get_config") else found
    )


def side_by_side(initializer: Initializer, parts: int) -> Callable[..., Any]:
    """Initializes each of `parts` equal column blocks of a kernel like a kernel of its own.

    Where the spread depends on the width (Glorot), one draw for the whole would be too narrow.
    """
    # Seeds are chosen here: how often `draw` is called depends on the distribution strategy.
    initializers = [fresh(initializer) for _ in range(parts)]

    def draw(shape: tuple[int, ...], dtype: Any = None) -> Any:
        block = (*shape[:-1], shape[-1] // parts)
        return keras.ops.concatenate([one(block, dtype=dtype) for one in initializers], -1)

    return draw
