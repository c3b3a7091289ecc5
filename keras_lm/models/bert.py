"""BERT, a bidirectional encoder (Devlin et al. 2019, arXiv:1810.04805).

Differs from the 2017 Transformer encoder in three ways: learned positions, a segment embedding, and
a norm over their sum. GELU is the exact one, as in BERT's own code.

B batch, T length, P masked positions, D hidden size, V vocabulary.
"""

from typing import Any

import keras
import tensorflow as tf

from keras_lm.layers import Dense, MaskedLMHead, TextEmbedding, TransformerEncoder
from keras_lm.layers.building import build_once
from keras_lm.layers.inputs import as_inputs
from keras_lm.models.explanations.attention_scores import ShowsAttention
from keras_lm.models.fill_mask import FillsMasks
from keras_lm.models.interface import by_head
from keras_lm.training import LanguageModel

Tensor = Any


@keras.saving.register_keras_serializable("keras_lm")
class BERT(FillsMasks, ShowsAttention, LanguageModel):
    """An encoder with the heads that it is pre-trained with. The defaults are BERT-base.

    Args:
        vocab_size: V.
        hidden_size: D.
        num_layers: number of Transformer blocks.
        num_attention_heads: heads of each attention; D must be a multiple of it.
        num_hidden_units: width of the feed-forward layers.
        pos_embedding_size: width of the position table. None: D; projected where it differs.
        dropout_rate: of embeddings, sublayers and attention weights.
        max_length: number of positions.
        num_segments: number of segment (BERT: token type) embeddings.
        activation: `"gelu"` (exact, BERT's) or `"gelu_tanh"`, or another that Keras knows.
        layer_norm_epsilon: of the norms.
        attention_dropout_rate: of the attention weights. None: `dropout_rate`.
        initializer_range: standard deviation of the truncated normal that weights start with.
        pooler: whether there is a pooler, a dense tanh layer for the first token's hidden state;
            with no head that uses it, it is for who wants it, `model.pooler`. None: where
            `"next_sentence"` needs it.
        heads: of `"masked_lm"` and `"next_sentence"`; `()` is the bare encoder.
        tokenizer: a `keras_lm.tokenizers.WordPiece`, for everything that takes text.

    Call arguments:
        inputs: a dict, or `token_ids` alone:
            `token_ids`: int `(B, T)`, T at most `max_length`;
            `segment_ids`: int `(B, T)`; left out: 0;
            `padding_mask`: bool `(B, T)`, True where a token is no padding; left out: True;
            `masked_positions`: int `(B, P)`, where to predict masked tokens; left out: everywhere;
            `document_ids`: int `(B, T)`, equal within a document of a packed row: attention stays
            within documents and positions restart.
        logits: False: for `masked_lm` what the token table is multiplied by, float `(B, P, D)`.

    Returns:
        By head: `masked_lm`, float32 logits `(B, P, V)`; `next_sentence`, float32 logits
        `(B, 2)`, 0 = is the next, 1 = is not. With one head its output alone, with several a dict,
        with none the hidden states, float `(B, T, D)`.

    Raises:
        ValueError: sizes that do not fit each other, an unknown head, a tokenizer with more tokens
            than `vocab_size`.
    """

    HEADS = ("masked_lm", "next_sentence")
    SAMPLED_HEADS = ("masked_lm",)
    TOKENIZER_ROLES = ("pad", "unk", "cls", "sep", "mask")

    def __init__(
        self,
        vocab_size: int = 30_522,
        hidden_size: int = 768,
        num_layers: int = 12,
        num_attention_heads: int = 12,
        num_hidden_units: int = 3_072,
        pos_embedding_size: int | None = None,
        dropout_rate: float = 0.1,
        max_length: int = 512,
        *,
        num_segments: int = 2,
        activation: str = "gelu",
        layer_norm_epsilon: float = 1e-12,
        attention_dropout_rate: float | None = None,
        initializer_range: float = 0.02,
        pooler: bool | None = None,
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
            num_segments=num_segments,
            pos_embedding_size=pos_embedding_size,
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
        if "masked_lm" in self.heads:
            self.masked_lm = MaskedLMHead(
                vocab_size,
                activation,
                layer_norm_epsilon=layer_norm_epsilon,
                kernel_initializer=initializer,
                name="masked_lm",
                **own,
            )
        needed = "next_sentence" in self.heads
        if needed and pooler is False:
            raise ValueError(
                f'The head "next_sentence" needs the pooler. Received: pooler={pooler}'
            )
        head = {"kernel_initializer": initializer, **own}
        if needed or pooler:
            self.pooler = Dense(hidden_size, "tanh", name="pooler", **head)
        if needed:
            self.next_sentence = Dense(2, name="next_sentence", **head)

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight, from the sizes alone."""
        build_once(self.encoder)
        for name in ("masked_lm", "pooler", "next_sentence"):
            if hasattr(self, name):
                build_once(getattr(self, name), (None, None, self.hidden_size))
        self.built = True

    def call(self, inputs: Any, training: bool | None = None, logits: bool = True) -> Any:
        """Encodes and predicts; see the class."""
        inputs = as_inputs(inputs)
        hidden_BTD = self.encoder(inputs, training=training)
        outputs = {}
        if "masked_lm" in self.heads:
            outputs["masked_lm"] = self.masked_lm(
                hidden_BTD,
                inputs.get("masked_positions"),
                tokens=self.encoder.embedding.tokens,
                logits=logits,
            )
        if "next_sentence" in self.heads:
            logits_B2 = self.next_sentence(self.pooler(hidden_BTD[:, 0]))
            outputs["next_sentence"] = tf.cast(logits_B2, "float32")
        return by_head(outputs, hidden_BTD)

    def head_table(self, head: str) -> tuple[Tensor, Tensor]:
        """Returns the table `(V, D)` that the masked-LM head multiplies by, and its bias `(V,)`."""
        return self.encoder.embedding.tokens.embeddings, self.masked_lm.bias
