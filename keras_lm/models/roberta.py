"""RoBERTa, BERT with a better recipe (Liu et al. 2019, arXiv:1907.11692).

Differs from BERT in three ways: positions are numbered behind the padding id, so that the table has
two more rows than there are positions; there are no segments and no next-sentence head; text is
byte-level BPE. The released weights hold a segment table of one row all the same, which is added
everywhere.

B batch, T length, P masked positions, D hidden size, V vocabulary.
"""

from typing import Any

import keras

from keras_lm.layers import Dense, MaskedLMHead, TextEmbedding, TransformerEncoder
from keras_lm.layers.building import build_once
from keras_lm.layers.inputs import as_inputs, without_segments
from keras_lm.models.explanations.attention_scores import ShowsAttention
from keras_lm.models.fill_mask import FillsMasks
from keras_lm.training import LanguageModel

Tensor = Any


@keras.saving.register_keras_serializable("keras_lm")
class RoBERTa(FillsMasks, ShowsAttention, LanguageModel):
    """An encoder with the head that it is pre-trained with. The defaults are RoBERTa-base.

    Args:
        vocab_size: V.
        hidden_size: D.
        num_layers: number of Transformer blocks.
        num_attention_heads: heads of each attention; D must be a multiple of it.
        num_hidden_units: width of the feed-forward layers.
        pos_embedding_size: width of the position table. None: D; projected where it differs.
        dropout_rate: of embeddings, sublayers and attention weights.
        max_length: number of positions, without the rows before `first_position`.
        first_position: row of the position table that belongs to the first token: the padding id
            and 1.
        num_segments: number of segment embeddings.
        activation: of the feed-forward layers: `"gelu"` (exact) or `"gelu_tanh"`, or another that
            Keras knows. The masked-LM head's is always the exact one.
        layer_norm_epsilon: of the norms.
        attention_dropout_rate: of the attention weights. None: `dropout_rate`.
        initializer_range: standard deviation of the truncated normal that weights start with.
        pooler: whether there is a pooler, as BERT has one: a dense tanh layer for the first token's
            hidden state, which no head here uses; it is for who wants it, `model.pooler`.
        heads: `("masked_lm",)`; `()` is the bare encoder.
        tokenizer: a `keras_lm.tokenizers.ByteBPE` with RoBERTa's special tokens, or another with a
            mask, for everything that takes text.

    Call arguments:
        inputs: a dict, or `token_ids` alone:
            `token_ids`: int `(B, T)`, T at most `max_length`, padded on the right;
            `padding_mask`: bool `(B, T)`, True where a token is no padding; left out: True;
            `masked_positions`: int `(B, P)`, where to predict masked tokens; left out: everywhere;
            `document_ids`: int `(B, T)`, equal within a document of a packed row: attention stays
            within documents and positions restart;
            `segment_ids`: int `(B, T)`; not read where `num_segments` is 1 or 0.
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
        vocab_size: int = 50_265,
        hidden_size: int = 768,
        num_layers: int = 12,
        num_attention_heads: int = 12,
        num_hidden_units: int = 3_072,
        pos_embedding_size: int | None = None,
        dropout_rate: float = 0.1,
        max_length: int = 512,
        *,
        first_position: int = 2,
        num_segments: int = 1,
        activation: str = "gelu",
        layer_norm_epsilon: float = 1e-5,
        attention_dropout_rate: float | None = None,
        initializer_range: float = 0.02,
        pooler: bool = False,
        heads: tuple[str, ...] = ("masked_lm",),
        tokenizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(heads=heads, tokenizer=tokenizer, vocab_size=vocab_size, **kwargs)
        self.max_length, self.hidden_size = max_length, hidden_size
        self.num_segments = num_segments
        own = {"dtype": self.dtype_policy}
        initializer = keras.initializers.TruncatedNormal(stddev=initializer_range)
        embedding = TextEmbedding(
            vocab_size,
            hidden_size,
            max_length,
            dropout_rate,
            num_segments=num_segments,
            pos_embedding_size=pos_embedding_size,
            first_position=first_position,
            layer_norm_epsilon=layer_norm_epsilon,
            embeddings_initializer=initializer,
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
        if pooler:
            self.pooler = Dense(
                hidden_size, "tanh", kernel_initializer=initializer, name="pooler", **own
            )
        if "masked_lm" in self.heads:
            self.masked_lm = MaskedLMHead(
                vocab_size,
                layer_norm_epsilon=layer_norm_epsilon,
                kernel_initializer=initializer,
                name="masked_lm",
                **own,
            )

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight, from the sizes alone."""
        build_once(self.encoder)
        for name in ("pooler", "masked_lm"):
            if hasattr(self, name):
                build_once(getattr(self, name), (None, None, self.hidden_size))
        self.built = True

    def call(self, inputs: Any, training: bool | None = None, logits: bool = True) -> Any:
        """Encodes and predicts; see the class."""
        inputs = as_inputs(inputs) if self.num_segments > 1 else without_segments(inputs)
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
