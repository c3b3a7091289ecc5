"""ELECTRA, an encoder that tells replaced tokens (Clark et al. 2020, arXiv:2003.10555).

Differs from BERT in two ways: the embeddings may be narrower than the hidden states, to which they
are projected; and it is pre-trained to say of each token whether it was replaced. What replaces
them is a second ELECTRA with a masked-LM head; `ELECTRAPretrainer` holds both.

B batch, T length, P masked positions, D hidden size, E embedding size, V vocabulary.
"""

from typing import Any

import keras

from keras_lm.layers import MaskedLMHead, ReplacedTokenHead, TextEmbedding, TransformerEncoder
from keras_lm.layers.building import build_once
from keras_lm.layers.inputs import as_inputs
from keras_lm.models.explanations.attention_scores import ShowsAttention
from keras_lm.models.fill_mask import FillsMasks
from keras_lm.models.find_replaced import FindsReplaced
from keras_lm.models.interface import by_head
from keras_lm.training import LanguageModel

Tensor = Any


@keras.saving.register_keras_serializable("keras_lm")
class ELECTRA(FillsMasks, FindsReplaced, ShowsAttention, LanguageModel):
    """An encoder: a discriminator, or with another head a generator. The defaults are ELECTRA-base.

    Args:
        vocab_size: V.
        hidden_size: D.
        num_layers: number of Transformer blocks.
        num_attention_heads: heads of each attention; D must be a multiple of it.
        num_hidden_units: width of the feed-forward layers.
        pos_embedding_size: width of the position table. None: E; projected where it differs.
        dropout_rate: of embeddings, sublayers and attention weights.
        max_length: number of positions.
        embedding_size: E. None: D; projected where it differs.
        num_segments: number of segment embeddings.
        activation: `"gelu"` (exact) or `"gelu_tanh"`, or another that Keras knows. The masked-LM
            head's is always the exact one, as in Transformers.
        layer_norm_epsilon: of the norms.
        attention_dropout_rate: of the attention weights. None: `dropout_rate`.
        initializer_range: standard deviation of the truncated normal that weights start with.
        heads: of `"replaced_token"` (the discriminator's) and `"masked_lm"` (the generator's); `()`
            is the bare encoder.
        tokenizer: a `keras_lm.tokenizers.WordPiece`, for everything that takes text.
        embedding: the `TextEmbedding` of another model, to be shared with it. None: one of its own.
            A file holds it as if it were; what is loaded has one of its own.

    Call arguments:
        inputs: a dict, or `token_ids` alone:
            `token_ids`: int `(B, T)`, T at most `max_length`;
            `segment_ids`: int `(B, T)`; left out: 0;
            `padding_mask`: bool `(B, T)`, True where a token is no padding; left out: True;
            `masked_positions`: int `(B, P)`, where to predict masked tokens; left out: everywhere;
            `document_ids`: int `(B, T)`, equal within a document of a packed row: attention stays
            within documents and positions restart.
        logits: False: for `masked_lm` what the token table is multiplied by, float `(B, P, E)`.

    Returns:
        By head: `replaced_token`, float32 logits `(B, T)`, positive where a token is likelier
        replaced than not; `masked_lm`, float32 logits `(B, P, V)`. With one head its output alone,
        with both a dict, with none the hidden states, float `(B, T, D)`.

    Raises:
        ValueError: sizes that do not fit each other or the shared embedding, an unknown head, a
            tokenizer with more tokens than `vocab_size`.
    """

    HEADS = ("replaced_token", "masked_lm")
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
        embedding_size: int | None = None,
        num_segments: int = 2,
        activation: str = "gelu",
        layer_norm_epsilon: float = 1e-12,
        attention_dropout_rate: float | None = None,
        initializer_range: float = 0.02,
        heads: tuple[str, ...] = ("replaced_token",),
        tokenizer: Any = None,
        embedding: TextEmbedding | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(heads=heads, tokenizer=tokenizer, vocab_size=vocab_size, **kwargs)
        self.max_length, self.hidden_size = max_length, hidden_size
        own = {"dtype": self.dtype_policy}
        initializer = keras.initializers.TruncatedNormal(stddev=initializer_range)
        size = hidden_size if embedding_size is None else embedding_size
        if embedding is None:
            embedding = TextEmbedding(
                vocab_size,
                size,
                max_length,
                dropout_rate,
                num_segments=num_segments,
                pos_embedding_size=pos_embedding_size,
                layer_norm_epsilon=layer_norm_epsilon,
                embeddings_initializer=initializer,
                name="embedding",
                **own,
            )
        shared = embedding.tokens.vocab_size, embedding.size, embedding.max_length
        if shared != (vocab_size, size, max_length):
            raise ValueError(
                "A shared embedding must have the model's own vocab_size, embedding_size and "
                f"max_length, {(vocab_size, size, max_length)}. Received: {shared}"
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
        if "replaced_token" in self.heads:
            self.replaced_token = ReplacedTokenHead(
                activation, kernel_initializer=initializer, name="replaced_token", **own
            )
        if "masked_lm" in self.heads:
            self.masked_lm = MaskedLMHead(
                vocab_size,
                size=size,
                layer_norm_epsilon=layer_norm_epsilon,
                kernel_initializer=initializer,
                name="masked_lm",
                **own,
            )

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight, from the sizes alone."""
        build_once(self.encoder)
        for name in self.heads:
            build_once(getattr(self, name), (None, None, self.hidden_size))
        self.built = True

    def call(self, inputs: Any, training: bool | None = None, logits: bool = True) -> Any:
        """Encodes and predicts; see the class."""
        inputs = as_inputs(inputs)
        hidden_BTD = self.encoder(inputs, training=training)
        outputs = {}
        if "replaced_token" in self.heads:
            outputs["replaced_token"] = self.replaced_token(hidden_BTD)
        if "masked_lm" in self.heads:
            outputs["masked_lm"] = self.masked_lm(
                hidden_BTD,
                inputs.get("masked_positions"),
                tokens=self.encoder.embedding.tokens,
                logits=logits,
            )
        return by_head(outputs, hidden_BTD)

    def head_table(self, head: str) -> tuple[Tensor, Tensor]:
        """Returns the table `(V, E)` that the masked-LM head multiplies by, and its bias `(V,)`."""
        return self.encoder.embedding.tokens.embeddings, self.masked_lm.bias

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, flat, but for a shared embedding."""
        return {**super().get_config(), "embedding": None}
