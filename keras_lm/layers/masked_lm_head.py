"""Hidden states to logits over the vocabulary, at the masked positions only.

B batch, T length, P masked positions, D hidden size, E width of the token table, V vocabulary.
"""

from typing import Any

import keras
import tensorflow as tf

from keras_lm.layers.arguments import RecordsArguments
from keras_lm.layers.building import build_once
from keras_lm.layers.dense import Dense
from keras_lm.layers.embedding import TokenEmbedding
from keras_lm.layers.initializers import Initializer
from keras_lm.layers.rows import known_width

Tensor = Any


@keras.saving.register_keras_serializable("keras_lm")
class MaskedLMHead(RecordsArguments, keras.layers.Layer):
    """Dense, activation, norm, then the product with the token table, and a bias.

    Source: BERT (Devlin et al. 2019, arXiv:1810.04805, appendix A.2) and its released code.

    Args:
        vocab_size: V.
        activation: of the dense layer, see `keras_lm.layers.activations`.
        size: E, width of the dense layer. None: D.
        layer_norm_epsilon: of the norm.
        kernel_initializer: of the dense layer.

    Call arguments:
        hidden: float `(B, T, D)`.
        masked_positions: int `(B, P)`, the places that are predicted. None: every place.
        tokens: the `TokenEmbedding` whose table is shared.
        logits: False: what the table is multiplied by, in the place of the logits.

    Returns:
        float32 logits `(B, P, V)`, or `(B, T, V)`; without logits float, D in the place of V.
    """

    def __init__(
        self,
        vocab_size: int,
        activation: str = "gelu",
        *,
        size: int | None = None,
        layer_norm_epsilon: float = 1e-12,
        kernel_initializer: Initializer = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocab_size, self.activation, self.size = vocab_size, activation, size
        self.kernel_initializer = kernel_initializer
        self.norm = keras.layers.LayerNormalization(
            epsilon=layer_norm_epsilon, name="norm", dtype=self.dtype_policy
        )

    def build(self, hidden_shape: tuple[int | None, ...], **shapes: Any) -> None:
        """Makes the dense layer `(D, E)`, the norm and the bias `(V,)`."""
        width = known_width(hidden_shape)
        size = self.size or width
        self.dense = Dense(
            size,
            self.activation,
            kernel_initializer=self.kernel_initializer,
            name="dense",
            dtype=self.dtype_policy,
        )
        build_once(self.dense, (None, width))
        build_once(self.norm, (None, size))
        # In float32 under mixed precision too: it is added to float32 logits.
        self.bias = self.add_weight(
            name="bias", shape=(self.vocab_size,), initializer="zeros", autocast=False
        )
        self.built = True

    def call(
        self,
        hidden: Tensor,
        masked_positions: Tensor | None = None,
        *,
        tokens: TokenEmbedding,
        logits: bool = True,
    ) -> Tensor:
        """Predicts; see the class."""
        if masked_positions is not None:
            hidden = tf.gather(hidden, masked_positions, batch_dims=1)
        hidden = self.norm(self.dense(hidden))
        if not logits:
            return hidden
        product = tokens.logits(hidden)
        return product + tf.cast(self.bias, product.dtype)
