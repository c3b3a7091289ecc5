"""What a token is, where it stands and which segment it belongs to, added up.

B batch, T length, E width of the embeddings.
"""

from typing import Any

import keras
import tensorflow as tf

from keras_lm.layers.arguments import RecordsArguments
from keras_lm.layers.building import build_once
from keras_lm.layers.dropout import Dropout
from keras_lm.layers.embedding import TokenEmbedding
from keras_lm.layers.initializers import Initializer
from keras_lm.layers.positions import PositionalEncoding

Tensor = Any


@keras.saving.register_keras_serializable("keras_lm")
class TextEmbedding(RecordsArguments, keras.layers.Layer):
    """The sum of token, position and segment embeddings, normalized and dropped out.

    Source: Vaswani et al. 2017, arXiv:1706.03762, sections 3.4 and 3.5; the segments and the norm:
    Devlin et al. 2019, arXiv:1810.04805, section 3, and its released code.

    Args:
        vocab_size: number of ids.
        size: E.
        max_length: number of positions.
        dropout_rate: of the sum.
        num_segments: number of segment embeddings. 0: there are none.
        position_kind: `"learned"` or `"sinusoidal"`, see `PositionalEncoding`.
        pos_embedding_size: width of the position table. None: E; projected where it differs.
        first_position: row of the position table that belongs to the first token (RoBERTa, BART).
        scale_tokens: whether token embeddings are multiplied by the square root of E.
        normalize: whether the sum goes through a norm.
        layer_norm_epsilon: of the norm.
        embeddings_initializer: of the tables.
        positions_initializer: of the position table. None: `embeddings_initializer`.
        tokens: a `TokenEmbedding` that is shared with another layer. None: one of its own.

    Call arguments:
        token_ids: int `(B, T)`.
        segment_ids: int `(B, T)`. None: 0.
        positions: int `(B, T)`, the position of each token. None: they count from 0.
        token_embeddings: float `(B, T, E)`, in place of the rows of the token table, as they are
            before `scale_tokens`.

    Returns:
        float `(B, T, E)` in the compute dtype.

    Raises:
        ValueError: sizes that are not positive, or segments for a layer that has none.
    """

    def __init__(
        self,
        vocab_size: int,
        size: int,
        max_length: int,
        dropout_rate: float = 0.1,
        *,
        num_segments: int = 0,
        position_kind: str = "learned",
        pos_embedding_size: int | None = None,
        first_position: int = 0,
        scale_tokens: bool = False,
        normalize: bool = True,
        layer_norm_epsilon: float = 1e-12,
        embeddings_initializer: Initializer = "uniform",
        positions_initializer: Initializer | None = None,
        tokens: TokenEmbedding | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if num_segments < 0:
            raise ValueError(
                f"num_segments must not be negative. Received: num_segments={num_segments}"
            )
        self.size, self.max_length, self.scale_tokens = size, max_length, scale_tokens
        own = {"dtype": self.dtype_policy}
        table = {"embeddings_initializer": embeddings_initializer, **own}
        self.tokens = tokens or TokenEmbedding(vocab_size, size, name="tokens", **table)
        self.segments: Any = None
        if num_segments:
            self.segments = TokenEmbedding(num_segments, size, name="segments", **table)
        self.positions = PositionalEncoding(
            max_length,
            position_kind,
            pos_embedding_size,
            first_row=first_position,
            embeddings_initializer=positions_initializer or embeddings_initializer,
            projection_initializer=embeddings_initializer,
            name="positions",
            **own,
        )
        self.norm: Any = None
        if normalize:
            self.norm = keras.layers.LayerNormalization(
                epsilon=layer_norm_epsilon, name="norm", **own
            )
        self.dropout = Dropout(dropout_rate, **own)

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight, from the sizes alone."""
        for table in (self.tokens, self.segments):
            if table is not None:
                build_once(table)
        for layer in (self.positions, self.norm):
            if layer is not None:
                build_once(layer, (None, None, self.size))
        self.built = True

    def call(
        self,
        token_ids: Tensor,
        segment_ids: Tensor | None = None,
        positions: Tensor | None = None,
        token_embeddings: Tensor | None = None,
        training: bool | None = None,
    ) -> Tensor:
        """Embeds; see the class."""
        if segment_ids is not None and self.segments is None:
            raise ValueError(
                "A model without segment embeddings takes no segment_ids. "
                "Received: segment_ids, num_segments=0"
            )
        x_BTE = self.tokens(token_ids) if token_embeddings is None else token_embeddings
        if self.scale_tokens:
            x_BTE *= tf.cast(self.size**0.5, x_BTE.dtype)
        if self.segments is not None:
            x_BTE += self.segments(tf.zeros_like(token_ids) if segment_ids is None else segment_ids)
        x_BTE = self.positions(x_BTE, positions=positions)
        if self.norm is not None:
            x_BTE = self.norm(x_BTE)
        return self.dropout(x_BTE, training=training)
