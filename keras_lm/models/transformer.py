"""Transformer, an encoder and a decoder (Vaswani et al. 2017, arXiv:1706.03762).

By its arguments also BART (Lewis et al. 2020, arXiv:1910.13461), see `BART_SIZES`: learned
positions, a norm over the embeddings, which are not scaled, and GELU.

B batch, S length of the source, T length of the target, D hidden size, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any

import keras

from keras_lm.data import decoder_start
from keras_lm.layers import (
    TextEmbedding,
    TokenEmbedding,
    TokenHead,
    TransformerDecoder,
    TransformerEncoder,
)
from keras_lm.layers.building import build_once
from keras_lm.models.gives_targets import GivesTargets

Tensor = Any


@keras.saving.register_keras_serializable("keras_lm")
class Transformer(GivesTargets):
    """A model from text to text. The defaults are the paper's base model.

    One token table serves the source, the target and the output (section 3.4). `compile()` has the
    defaults of every model, whose rate fits a training of any length. The paper trains (sections
    5.3 and 5.4) with

        rate = keras_lm.training.InverseSquareRoot.of_paper(hidden_size)
        adam = keras.optimizers.Adam(rate, beta_2=0.98, epsilon=1e-9)
        model.compile(adam, label_smoothing=0.1)

    Args:
        vocab_size: V.
        hidden_size: D.
        num_layers: Transformer blocks of the encoder, and of the decoder.
        num_attention_heads: heads of each attention; D must be a multiple of it.
        num_hidden_units: width of the feed-forward layers.
        pos_embedding_size: width of the position encodings. None: D; projected where it differs.
        dropout_rate: of embeddings, sublayers and attention weights.
        max_length: number of positions of the source, and of the target.
        num_decoder_layers: of the decoder. None: as in the encoder; and so the next two.
        num_decoder_attention_heads: see `num_decoder_layers`.
        num_decoder_hidden_units: see `num_decoder_layers`.
        position_kind: `"sinusoidal"`, or `"learned"`: a table for each side.
        first_position: row of the learned tables that belongs to the first token (BART: 2).
        scale_embedding: whether token embeddings are multiplied by the square root of D.
        normalize_embedding: whether the embeddings go through a norm on each side.
        activation: of the feed-forward layers: `"relu"`, `"gelu"` (BART's), `"gelu_tanh"`, or
            another that Keras knows.
        layer_norm_epsilon: of the norms.
        attention_dropout_rate: of the attention weights. None: `dropout_rate`.
        initializer_range: standard deviation of the normal that weights start with. None: Glorot's
            uniform distribution, and for embeddings a normal of 1 / sqrt(D), so that scaled ones
            are about as large as the position encodings.
        logits_bias: whether a constant is added to each token's logit (BART's
            `final_logits_bias`). It is not trained.
        decoder_start_ids: ids that a target begins with. None: the token that the tokenizer ends a
            text with.
        end_id: id that ends a target. None: that of the tokenizer, its end token or its separator.
        heads: `("seq2seq",)`, or `()` for hidden states of the decoder.
        tokenizer: of both sides, for everything that takes text.

    Call arguments:
        inputs: a dict:
            `token_ids`: int `(B, S)`, S at most `max_length`, the source;
            `decoder_token_ids`: int `(B, T)`, T at most `max_length`, the target so far;
            `padding_mask`: bool `(B, S)`, True where a source token is no padding; left out: True;
            `decoder_padding_mask`: bool `(B, T)`; padding on the right needs none, since nothing
            sees it.
        logits: False: what the token table is multiplied by, in the place of the logits.

    Returns:
        float32 logits `(B, T, V)`, of the token that follows each of the target; without a head
        the decoder's hidden states, float `(B, T, D)`.

    Raises:
        ValueError: sizes that do not fit each other, an unknown head, an id outside the vocabulary,
            a tokenizer with more tokens than `vocab_size`, or without a token that ends a text.
    """

    HEADS = ("seq2seq",)
    SAMPLED_HEADS = ("seq2seq",)
    TOKENIZER_ROLES = ("end or sep",)

    def __init__(
        self,
        vocab_size: int = 37_000,
        hidden_size: int = 512,
        num_layers: int = 6,
        num_attention_heads: int = 8,
        num_hidden_units: int = 2_048,
        pos_embedding_size: int | None = None,
        dropout_rate: float = 0.1,
        max_length: int = 512,
        *,
        num_decoder_layers: int | None = None,
        num_decoder_attention_heads: int | None = None,
        num_decoder_hidden_units: int | None = None,
        position_kind: str = "sinusoidal",
        first_position: int = 0,
        scale_embedding: bool = True,
        normalize_embedding: bool = False,
        activation: str = "relu",
        layer_norm_epsilon: float = 1e-5,
        attention_dropout_rate: float | None = None,
        initializer_range: float | None = None,
        logits_bias: bool = False,
        decoder_start_ids: Sequence[int] | None = None,
        end_id: int | None = None,
        heads: tuple[str, ...] = ("seq2seq",),
        tokenizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(heads=heads, tokenizer=tokenizer, vocab_size=vocab_size, **kwargs)
        self.max_length, self.hidden_size = max_length, hidden_size
        self._start_ids = None if decoder_start_ids is None else tuple(decoder_start_ids)
        self._end_id = end_id
        self._check_ids()
        own = {"dtype": self.dtype_policy}
        spread = hidden_size**-0.5 if initializer_range is None else initializer_range
        small = keras.initializers.RandomNormal(stddev=spread)
        self.tokens = TokenEmbedding(
            vocab_size, hidden_size, embeddings_initializer=small, name="tokens", **own
        )

        def embedding() -> TextEmbedding:
            return TextEmbedding(
                vocab_size,
                hidden_size,
                max_length,
                dropout_rate,
                position_kind=position_kind,
                pos_embedding_size=pos_embedding_size,
                first_position=first_position,
                scale_tokens=scale_embedding,
                normalize=normalize_embedding,
                layer_norm_epsilon=layer_norm_epsilon,
                embeddings_initializer=small,
                tokens=self.tokens,
                name="embedding",
                **own,
            )

        blocks = {
            "attention_dropout_rate": attention_dropout_rate,
            "norm": "post",
            "activation": activation,
            "layer_norm_epsilon": layer_norm_epsilon,
            "kernel_initializer": "glorot_uniform" if initializer_range is None else small,
            **own,
        }
        self.encoder = TransformerEncoder(
            embedding(),
            hidden_size,
            num_layers,
            num_attention_heads,
            num_hidden_units,
            dropout_rate,
            name="encoder",
            **blocks,
        )
        self.decoder = TransformerDecoder(
            embedding(),
            _or(num_decoder_layers, num_layers),
            _or(num_decoder_attention_heads, num_attention_heads),
            _or(num_decoder_hidden_units, num_hidden_units),
            dropout_rate,
            cross_attention=True,
            name="decoder",
            **blocks,
        )
        if "seq2seq" in self.heads:
            self.seq2seq = TokenHead(vocab_size, logits_bias, name="seq2seq", **own)

    def _check_ids(self) -> None:
        ids = [*(self._start_ids or ()), *([] if self._end_id is None else [self._end_id])]
        if self._start_ids == () or not all(0 <= id_ < (self.vocab_size or 0) for id_ in ids):
            raise ValueError(
                "decoder_start_ids, at least one, and end_id must be in 0 .. vocab_size - 1. "
                f"Received: decoder_start_ids={self._start_ids}, end_id={self._end_id}, "
                f"vocab_size={self.vocab_size}"
            )

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight, from the sizes alone."""
        for layer in (self.tokens, self.encoder, self.decoder):
            build_once(layer)
        if "seq2seq" in self.heads:
            build_once(self.seq2seq, (None, None, self.hidden_size))
        self.built = True

    @property
    def start_ids(self) -> list[int]:  # type: ignore[override]
        """The ids that a target begins with, as told or as the tokenizer has it.

        Raises:
            ValueError: the model was not told, and has no tokenizer.
        """
        if self._start_ids is not None:
            return list(self._start_ids)
        if self.tokenizer is None:
            raise ValueError(
                "What a target begins with must be known: construct Transformer with "
                "decoder_start_ids=..., or with a tokenizer. "
                "Received: decoder_start_ids=None, tokenizer=None"
            )
        return decoder_start.start_ids(None, self.tokenizer)

    @property
    def end_id(self) -> int | None:  # type: ignore[override]
        """The id that ends a target, as told or as the tokenizer has it; None: there is none."""
        if self._end_id is not None or self.tokenizer is None:
            return self._end_id
        return decoder_start.closing_id(self.tokenizer)


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
