"""GPT-2, a causal decoder.

Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".

Differs from the 2017 Transformer decoder in four ways: no encoder, learned positions, the norms
before the sublayers and one more behind the last (section 2.3), GELU by its tanh approximation.

B batch, T length, S positions of the cache, D hidden size, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_lm.layers import KVCache, PositionalEncoding, TokenEmbedding, TransformerBlock
from keras_lm.layers.arguments import RecordsArguments
from keras_lm.layers.building import build_once
from keras_lm.layers.masks import document_mask, document_positions, padding_mask
from keras_lm.models.interface import as_inputs, by_head, made_once
from keras_lm.models.prompts import generate
from keras_lm.models.scoring import Scores, TextScorer, score_texts
from keras_lm.models.text_generation import TextGenerator
from keras_lm.training import LanguageModel

Tensor = Any


class GPTCache(NamedTuple):
    """What the decoder has read so far.

    Attributes:
        blocks: for each block its keys and values, each float `(B, H, S, K)`.
        position: int32 `(B,)`, how many positions of each row are filled.
    """

    blocks: tuple[tuple[Tensor, Tensor], ...]
    position: Tensor


@keras.saving.register_keras_serializable("keras_lm")
class GPTDecoder(RecordsArguments, keras.layers.Layer):
    """Ids to hidden states; the arguments are those of `GPT`.

    Call arguments:
        inputs: as of `GPT`.
        cache: a `GPTCache`, which the inputs extend from each row's position on; or an int scalar:
            the call starts a cache of that many positions, and the inputs are its beginning.
        return_hidden_states: also return the embeddings and each block's output, a list of
            `num_layers + 1` floats `(B, T, D)`, before the last norm.

    Returns:
        float `(B, T, D)`; a tuple of it, the hidden states and the cache, as asked for.
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        num_layers: int,
        num_attention_heads: int,
        num_hidden_units: int,
        pos_embedding_size: int | None,
        dropout_rate: float,
        max_length: int,
        *,
        activation: str = "gelu_tanh",
        layer_norm_epsilon: float = 1e-5,
        initializer_range: float = 0.02,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if num_layers < 1:
            raise ValueError(f"num_layers must be positive. Received: num_layers={num_layers}")
        normal = keras.initializers.RandomNormal(stddev=initializer_range)
        # Each block adds to the residual twice (section 2.3).
        residual = keras.initializers.RandomNormal(
            stddev=initializer_range / (2 * num_layers) ** 0.5
        )
        self.hidden_size, self.max_length = hidden_size, max_length
        own = {"dtype": self.dtype_policy}
        table = {"embeddings_initializer": normal, **own}
        self.tokens = TokenEmbedding(vocab_size, hidden_size, name="tokens", **table)
        self.positions = PositionalEncoding(
            max_length, size=pos_embedding_size, name="positions", **table
        )
        self.dropout = keras.layers.Dropout(dropout_rate, **own)
        self.blocks = [
            TransformerBlock(
                num_attention_heads,
                hidden_size,
                num_hidden_units,
                dropout_rate,
                norm="pre",
                causal=True,
                activation=activation,
                layer_norm_epsilon=layer_norm_epsilon,
                kernel_initializer=normal,
                output_initializer=residual,
                name=f"block_{i}",
                **own,
            )
            for i in range(num_layers)
        ]
        self.norm = keras.layers.LayerNormalization(epsilon=layer_norm_epsilon, name="norm", **own)

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight, from the sizes alone."""
        build_once(self.tokens)
        for layer in (self.positions, *self.blocks, self.norm):
            build_once(layer, (None, None, self.hidden_size))
        self.built = True

    def call(
        self,
        inputs: Any,
        cache: Any = None,
        return_hidden_states: bool = False,
        training: bool | None = None,
    ) -> Any:
        """Decodes; see the class."""
        inputs = as_inputs(inputs)
        mask = padding_mask(inputs["padding_mask"]) if "padding_mask" in inputs else None
        document_ids = inputs.get("document_ids")
        positions = None
        if document_ids is not None:
            positions = document_positions(document_ids)
            within = document_mask(document_ids)
            mask = within if mask is None else within & mask
        x_BTD = self.tokens(inputs["token_ids"])
        if isinstance(cache, GPTCache):
            place_BT = cache.position[:, None] + tf.range(tf.shape(x_BTD)[1])
            # A row that has ended is carried along by a decode loop, perhaps beyond its table.
            positions = tf.minimum(place_BT, self.max_length - 1)
        x_BTD = self.dropout(self.positions(x_BTD, positions=positions), training=training)
        states, new_blocks = [x_BTD], []
        for i, block in enumerate(self.blocks):
            own = (
                KVCache(*cache.blocks[i], cache.position) if isinstance(cache, GPTCache) else cache
            )
            x_BTD = block(states[-1], attention_mask=mask, cache=own, training=training)
            if cache is not None:
                x_BTD, extended = x_BTD
                new_blocks.append((extended.keys, extended.values))
            states.append(x_BTD)
        found = [self.norm(states[-1])] + ([states] if return_hidden_states else [])
        if cache is not None:
            found.append(GPTCache(tuple(new_blocks), extended.position))
        return tuple(found) if len(found) > 1 else found[0]


@keras.saving.register_keras_serializable("keras_lm")
class GPT(LanguageModel):
    """A causal language model. The defaults are GPT-2 small.

    Args:
        vocab_size: V.
        hidden_size: D.
        num_layers: number of Transformer blocks.
        num_attention_heads: heads of each attention; D must be a multiple of it.
        num_hidden_units: width of the feed-forward layers.
        pos_embedding_size: width of the position table. None: D; projected where it differs.
        dropout_rate: of embeddings, attention weights and sublayers.
        max_length: number of positions.
        activation: `"gelu_tanh"` (GPT-2's) or `"gelu"` (exact), or another that Keras knows.
        layer_norm_epsilon: of the norms.
        initializer_range: standard deviation of the normal that weights start with; on the way into
            the residual divided by the square root of the number of sublayers.
        heads: `("causal_lm",)`, or `()` for hidden states.
        tokenizer: a `keras_lm.tokenizers.ByteBPE`, for everything that takes text.

    Call arguments:
        inputs: a dict, or `token_ids` alone:
            `token_ids`: int `(B, T)`, T at most `max_length`;
            `padding_mask`: bool `(B, T)`, True where a token is no padding; padding on the right
            needs none, since nothing sees it;
            `document_ids`: int `(B, T)`, equal within a document of a packed row: attention stays
            within documents and positions restart.

    Returns:
        float32 logits `(B, T, V)`, of the token that follows each; without a head the hidden
        states, float `(B, T, D)`.

    Raises:
        ValueError: sizes that do not fit each other, an unknown head, a tokenizer with more tokens
            than `vocab_size`.
    """

    HEADS = ("causal_lm",)
    TOKENIZER_ROLES = ("end",)

    def __init__(
        self,
        vocab_size: int = 50_257,
        hidden_size: int = 768,
        num_layers: int = 12,
        num_attention_heads: int = 12,
        num_hidden_units: int = 3_072,
        pos_embedding_size: int | None = None,
        dropout_rate: float = 0.1,
        max_length: int = 1_024,
        *,
        activation: str = "gelu_tanh",
        layer_norm_epsilon: float = 1e-5,
        initializer_range: float = 0.02,
        heads: tuple[str, ...] = ("causal_lm",),
        tokenizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(heads=heads, tokenizer=tokenizer, vocab_size=vocab_size, **kwargs)
        self.max_length = max_length
        self.decoder = GPTDecoder(
            vocab_size,
            hidden_size,
            num_layers,
            num_attention_heads,
            num_hidden_units,
            pos_embedding_size,
            dropout_rate,
            max_length,
            activation=activation,
            layer_norm_epsilon=layer_norm_epsilon,
            initializer_range=initializer_range,
            name="decoder",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight, from the sizes alone."""
        build_once(self.decoder)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Decodes and predicts; see the class."""
        hidden_BTD = self.decoder(inputs, training=training)
        outputs = {}
        if "causal_lm" in self.heads:
            outputs["causal_lm"] = self.decoder.tokens.logits(hidden_BTD)
        return by_head(outputs, hidden_BTD)

    def prefill(
        self, token_ids: Tensor, lengths: Tensor, cache_length: Tensor
    ) -> tuple[Tensor, GPTCache]:
        """Reads the prompts, each at once.

        Args:
            token_ids: int32 `(B, T)`, padded on the right.
            lengths: int32 `(B,)`, tokens of each prompt, at least 1.
            cache_length: S, int scalar, at least T.

        Returns:
            float32 logits `(B, V)` of the token behind each prompt, and the cache.
        """
        hidden_BTD, cache = self.decoder(token_ids, cache=cache_length)
        last_BD = tf.gather(hidden_BTD, lengths - 1, batch_dims=1)
        return self.decoder.tokens.logits(last_BD), cache._replace(position=lengths)

    def step(self, token_ids: Tensor, cache: GPTCache) -> tuple[Tensor, GPTCache]:
        """Reads one more token of each row.

        Args:
            token_ids: int32 `(B,)`.
            cache: of `prefill` or the step before.

        Returns:
            float32 logits `(B, V)` of the token that follows, and the cache.
        """
        hidden_B1D, cache = self.decoder(token_ids[:, None], cache=cache)
        return self.decoder.tokens.logits(hidden_B1D[:, 0]), cache

    def generate(
        self,
        prompts: str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]],
        max_length: int | None = None,
        *,
        max_new_tokens: int | Sequence[int] | None = None,
        num_return_sequences: int = 1,
        temperature: float | Sequence[float] | None = None,
        top_k: int | Sequence[int] = 0,
        top_p: float | Sequence[float] = 1.0,
        seed: int | Sequence[int] | None = None,
        stop: str | Sequence[str] = (),
    ) -> Any:
        """Continues prompts.

        Greedy, unless `temperature`, `top_k`, `top_p` or several sequences are asked for. A prompt
        gives the same text whatever prompts are beside it, up to rounding of the logits. Options
        that are lists have a value for each prompt.

        Args:
            prompts: a text, several texts, a list of ids, or several lists of ids. An empty prompt
                begins a new document.
            max_length: tokens of prompt and continuation together, at most the model's.
            max_new_tokens: tokens of the continuation, for all or a list; instead of `max_length`.
                Neither: 50, or as many as fit.
            num_return_sequences: continuations of each prompt.
            temperature: divides the logits; 0 is greedy. None: 1 where something else asks for
                sampling, else 0.
            top_k: draws from the `top_k` likeliest tokens; 0: from all (Fan et al. 2018,
                arXiv:1805.04833).
            top_p: draws from the likeliest tokens that together hold this probability (Holtzman et
                al. 2020, arXiv:1904.09751).
            seed: of the draws. None: another for each prompt at each call.
            stop: a text or texts at which a continuation ends; they are not part of it. With
                prompts of text only.

        Returns:
            Prompt and continuation, of the prompts' kind: str or list of ids; with several
            sequences a list of them; for several prompts a list of these.

        Raises:
            ValueError: no tokenizer for prompts of text; no prompt; an id outside the vocabulary; a
                prompt with no room behind it; options out of range; both limits.
            TypeError: an option of another kind.
        """
        self.require_head("generate()", "causal_lm")
        return generate(
            self,
            made_once(TextGenerator, self, self.tokenizer),
            prompts,
            max_length=max_length,
            max_new_tokens=max_new_tokens,
            num_return_sequences=num_return_sequences,
            stop=stop,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
        )

    def score(self, texts: str | Sequence[str], batch_size: int = 8) -> Scores:
        """Tells how likely the model finds texts.

        Each is read as a document of its own, behind the end token that comes before every document
        in training, so that its first token counts too.

        Args:
            texts: a text, or several.
            batch_size: texts that are read at once.

        Returns:
            `Scores`, an array with a value for each text in every field.

        Raises:
            ValueError: no tokenizer; no text; an empty text; one longer than `max_length` tokens.
        """
        self.require_head("score()", "causal_lm")
        scorer = made_once(TextScorer, self, self.require_tokenizer("score()"))
        return score_texts(
            self, scorer, [texts] if isinstance(texts, (str, bytes)) else list(texts), batch_size
        )
