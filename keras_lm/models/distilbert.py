"""DistilBERT, BERT with half of the layers (Sanh et al. 2019, arXiv:1910.01108).

Differs from BERT in two ways: there are no segments, and there is no pooler.

B batch, T length, P masked positions, D hidden size, V vocabulary.
"""

from typing import Any

import keras

from keras_lm.layers import MaskedLMHead, TextEmbedding, TransformerEncoder
from keras_lm.layers.building import build_once
from keras_lm.layers.inputs import without_segments
from keras_lm.layers.positions import Sinusoids
from keras_lm.models.explanations.attention_scores import ShowsAttention
from keras_lm.models.fill_mask import FillsMasks
from keras_lm.training import LanguageModel

Tensor = Any


@keras.saving.register_keras_serializable("keras_lm")
class DistilBERT(FillsMasks, ShowsAttention, LanguageModel):
    """An encoder with the head that it is pre-trained with. The defaults are DistilBERT-base.

    Args:
        vocab_size: V.
        hidden_size: D.
        num_layers: number of Transformer blocks.
        num_attention_heads: heads of each attention; D must be a multiple of it.
        num_hidden_units: width of the feed-forward layers.
        pos_embedding_size: width of the position table. None: D; projected where it differs.
        dropout_rate: of embeddings, sublayers and attention weights.
        max_length: number of positions.
        sinusoidal_positions: whether the position table starts with the sinusoids of Vaswani et
            al. 2017 (`sinusoidal_pos_embds` of the released code); it is learned in any case.
        activation: `"gelu"` (exact) or `"gelu_tanh"`, or another that Keras knows; of the head too.
        layer_norm_epsilon: of the norms.
        attention_dropout_rate: of the attention weights. None: `dropout_rate`.
        initializer_range: standard deviation of the truncated normal that weights start with.
        heads: `("masked_lm",)`; `()` is the bare encoder.
        tokenizer: a `keras_lm.tokenizers.WordPiece`, for everything that takes text.

    Call arguments:
        inputs: a dict, or `token_ids` alone:
            `token_ids`: int `(B, T)`, T at most `max_length`;
            `padding_mask`: bool `(B, T)`, True where a token is no padding; left out: True;
            `masked_positions`: int `(B, P)`, where to predict masked tokens; left out: everywhere;
            `document_ids`: int `(B, T)`, equal within a document of a packed row: attention stays
            within documents and positions restart;
            `segment_ids`: int `(B, T)`; not read.
        logits: False: for `masked_lm` what the token table is multiplied by, float `(B, P, D)`.

    Returns:
        float32 logits `(B, P, V)`, or without a head the hidden states, float `(B, T, D)`.

    Raises:
        ValueError: sizes that do not fit each other, an unknown head, a tokenizer with more tokens
            than `vocab_size`.
    """

    HEADS = ("masked_lm",)
    SAMPLED_HEADS = ("masked_lm",)
    TOKENIZER_ROLES = ("pad", "unk", "cls", "sep", "mask")

    def __init__(
        self,
        vocab_size: int = 30_522,
        hidden_size: int = 768,
        num_layers: int = 6,
        num_attention_heads: int = 12,
        num_hidden_units: int = 3_072,
        pos_embedding_size: int | None = None,
        dropout_rate: float = 0.1,
        max_length: int = 512,
        *,
        sinusoidal_positions: bool = False,
        activation: str = "gelu",
        layer_norm_epsilon: float = 1e-12,
        attention_dropout_rate: float | None = None,
        initializer_range: float = 0.02,
        heads: tuple[str, ...] = ("masked_lm",),
        tokenizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(heads=heads, tokenizer=tokenizer, vocab_size=vocab_size, **kwargs)
        self.max_length, self.hidden_size = max_length, hidden_size
        own = {"dtype": self.dtype_policy}
        initializer = keras.initializers.TruncatedNormal(stddev=initializer_range)
        embedding = TextEmbedding(
            vocab_size,
            hidden_size,
            max_length,
            dropout_rate,
            pos_embedding_size=pos_embedding_size,
            layer_norm_epsilon=layer_norm_epsilon,
            embeddings_initializer=initializer,
            positions_initializer=Sinusoids() if sinusoidal_positions else None,
            name="embedding",
            **own,
        )
        self.encoder = TransformerEncoder(
            embedding,
            hidden_size,
            num_layers,
            num_attention_heads,
            num_hidden_units,
            dropout_rate,
            attention_dropout_rate=attention_dropout_rate,
            activation=activation,
            layer_norm_epsilon=layer_norm_epsilon,
            kernel_initializer=initializer,
            name="encoder",
            **own,
        )
        if "masked_lm" in self.heads:
            self.masked_lm = MaskedLMHead(
                vocab_size,
                activation,
                layer_norm_epsilon=layer_norm_epsilon,
                kernel_initializer=initializer,
                name="masked_lm",
                **own,
            )

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight, from the sizes alone."""
        build_once(self.encoder)
        if "masked_lm" in self.heads:
            build_once(self.masked_lm, (None, None, self.hidden_size))
        self.built = True

    def call(self, inputs: Any, training: bool | None = None, logits: bool = True) -> Any:
        """Encodes and predicts; see the class."""
        inputs = without_segments(inputs)
        hidden_BTD = self.encoder(inputs, training=training)
        if "masked_lm" not in self.heads:
            return hidden_BTD
        return self.masked_lm(
            hidden_BTD,
            inputs.get("masked_positions"),
            tokens=self.encoder.embedding.tokens,
            logits=logits,
        )

    def head_table(self, head: str) -> tuple[Tensor, Tensor]:
        """Returns the table `(V, D)` that the masked-LM head multiplies by, and its bias `(V,)`."""
        return self.encoder.embedding.tokens.embeddings, self.masked_lm.bias
