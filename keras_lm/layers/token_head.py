"""Hidden states to logits over the vocabulary, by the table of the tokens.

B batch, T length, D hidden size, V vocabulary.
"""

from typing import Any

import keras
import tensorflow as tf

from keras_lm.layers.arguments import RecordsArguments
from keras_lm.layers.embedding import TokenEmbedding

Tensor = Any


@keras.saving.register_keras_serializable("keras_lm")
class TokenHead(RecordsArguments, keras.layers.Layer):
    """The product with the token table, and a constant for each token where there is one.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.4; the constants: BART's released code
    (Lewis et al. 2020, arXiv:1910.13461), where they are part of a file and are not trained.

    Args:
        vocab_size: V.
        use_bias: whether there is a constant `(V,)`, which starts at zero.

    Call arguments:
        hidden: float `(B, T, D)`, or `(B, D)`.
        tokens: the `TokenEmbedding` whose table is shared.

    Returns:
        float32 logits `(B, T, V)`, or `(B, V)`.
    """

    def __init__(self, vocab_size: int, use_bias: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.vocab_size, self.use_bias = vocab_size, use_bias

    def build(self, hidden_shape: Any = None, **shapes: Any) -> None:
        """Makes the constants, if there are any."""
        if self.use_bias:
            # In float32 under mixed precision too: it is added to float32 logits.
            self.bias = self.add_weight(
                name="bias",
                shape=(self.vocab_size,),
                initializer="zeros",
                trainable=False,
                autocast=False,
            )
        self.built = True

    def call(self, hidden: Tensor, *, tokens: TokenEmbedding) -> Tensor:
        """Predicts; see the class."""
        logits = tokens.logits(hidden)
        return logits + tf.cast(self.bias, logits.dtype) if self.use_bias else logits
