"""Hidden states to one logit for each token: was it replaced?

B batch, T length, D hidden size.
"""

from typing import Any

import keras
import tensorflow as tf

from keras_lm.layers.arguments import RecordsArguments
from keras_lm.layers.building import build_once
from keras_lm.layers.dense import Dense
from keras_lm.layers.initializers import Initializer
from keras_lm.layers.rows import known_width

Tensor = Any


@keras.saving.register_keras_serializable("keras_lm")
class ReplacedTokenHead(RecordsArguments, keras.layers.Layer):
    """Dense, activation, and a product with one vector.

    Source: ELECTRA (Clark et al. 2020, arXiv:2003.10555, section 2) and its released code.

    Args:
        activation: of the dense layer, see `keras_lm.layers.activations`.
        kernel_initializer: of both kernels.

    Call arguments:
        hidden: float `(B, T, D)`.

    Returns:
        float32 logits `(B, T)`, positive where a token is likelier replaced than not.
    """

    def __init__(
        self,
        activation: str = "gelu",
        *,
        kernel_initializer: Initializer = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.activation, self.kernel_initializer = activation, kernel_initializer

    def build(self, hidden_shape: tuple[int | None, ...]) -> None:
        """Makes the dense layer `(D, D)` and the vector `(D, 1)`, with biases."""
        width = known_width(hidden_shape)

        def dense(units: int, activation: str | None, name: str) -> Dense:
            layer = Dense(
                units,
                activation,
                kernel_initializer=self.kernel_initializer,
                name=name,
                dtype=self.dtype_policy,
            )
            build_once(layer, (None, width))
            return layer

        self.dense = dense(width, self.activation, "dense")
        self.output_projection = dense(1, None, "output")
        self.built = True

    def call(self, hidden: Tensor) -> Tensor:
        """Judges; see the class."""
        return tf.cast(self.output_projection(self.dense(hidden))[..., 0], "float32")
