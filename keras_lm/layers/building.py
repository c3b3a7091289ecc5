"""Building a layer that may have been built before, because somebody called it by itself."""

from typing import Any

import keras


def build_once(layer: keras.layers.Layer, *shapes: Any) -> None:
    """Builds the layer, unless it is built; Keras forbids it a second time."""
    if not layer.built:
        layer.build(*shapes)
