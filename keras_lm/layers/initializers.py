"""Initializers that draw anew for every weight."""

from collections.abc import Callable
from typing import Any

import keras

Initializer = Any  # a name, a config or a keras.initializers.Initializer


def fresh(initializer: Initializer) -> keras.initializers.Initializer:
    """Copies an initializer, so that two weights do not start with the same numbers.

    A Keras initializer without a seed chooses one when it is made and then draws the same numbers
    at every call.
    """
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
