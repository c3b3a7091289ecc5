"""Memory for time: activations that are computed again in the backward pass, not kept."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_lm.layers.dropout import SeedTape

Tensor = Any


def recomputed(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Returns `function(*tensors)`, of which nothing is kept for the gradient but the tensors.

    Chen et al. 2016, arXiv:1604.06174, section 4. The second time every `Dropout` in it draws the
    mask that it drew the first time; with `keras.RematScope` it draws another one, and the gradient
    is that of another function.

    Args:
        function: of float tensors; may use layers and variables that exist already.
        *tensors: what it is called with.
    """
    seeds = SeedTape()

    def repeatable(*tensors: Tensor) -> Tensor:
        with seeds:
            return function(*tensors)

    return tf.recompute_grad(repeatable)(*tensors)
