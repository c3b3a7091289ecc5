"""Activations by name. The two GELUs are different functions and have different names."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_lm.layers.gelu import gelu, gelu_tanh

Tensor = Any

_OURS: dict[str, Callable[[Tensor], Tensor]] = {
    # x * Phi(x), Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2: BERT, RoBERTa, ELECTRA.
    "gelu": lambda x: tf.nn.gelu(x, approximate=False),
    # The tanh approximation of the same section: GPT, GPT-2, GPT-3.
    "gelu_tanh": lambda x: tf.nn.gelu(x, approximate=True),
    "relu": tf.nn.relu,
    "tanh": tf.math.tanh,
    "linear": lambda x: x,
}
_IN_TRAINING = {_OURS["gelu"]: gelu, _OURS["gelu_tanh"]: gelu_tanh}


def activation(name: str | None) -> Callable[[Tensor], Tensor]:
    """Finds an activation: `gelu` (exact), `gelu_tanh` (approximate), or any name that Keras knows.

    Raises:
        ValueError: no activation has that name.
    """
    if name is None:
        return _OURS["linear"]
    if name in _OURS:
        return _OURS[name]
    try:
        return keras.activations.get(name)
    except (ValueError, TypeError):
        raise ValueError(
            f"activation must be one of {sorted(_OURS)} or a name that keras.activations knows. "
            f"Received: {name!r}"
        ) from None


def in_training(found: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Returns what takes an activation's place in training: the same numbers, a faster gradient."""
    return _IN_TRAINING.get(found, found)
