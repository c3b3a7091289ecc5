"""Weights of a layer that is built."""

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def late_weights(layer: Any) -> Iterator[None]:
    """Lets a layer that is built make more weights.

    Keras locks the list of a layer's weights behind `build`. Its own `Dense.enable_lora` unlocks it
    in this way; there is no public one; found here, no issue is known.
    """
    layer._tracker.unlock()
    try:
        yield
    finally:
        layer._tracker.lock()
