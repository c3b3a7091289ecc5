"""GPT-2, a causal decoder.

Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".

Differs from the 2017 Transformer decoder in four ways: no encoder, learned positions, the norms
before the sublayers and one more behind the last (section 2.3), GELU by its tanh approximation.

B batch, T length, S positions of the cache, D hidden size, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Unpack

import keras
import tensorflow as tf

from keras_lm.layers import DecoderCache, StartCache, TextEmbedding, TransformerDecoder
from keras_lm.layers.building import build_once
from keras_lm.layers.rows import as_before, flat_rows
from keras_lm.models.explanations.attention_scores import ShowsAttention
from keras_lm.models.explanations.prompt_attributions import prompt_attributions
from keras_lm.models.generation_options import GenerationOptions
from keras_lm.models.interface import by_head, made_once
from keras_lm.models.prompts import generate, stream
from keras_lm.models.scoring import Scores, TextScorer, score_texts
from keras_lm.models.text_generation import TextGenerator
from keras_lm.training import LanguageModel

Tensor = Any


@keras.saving.register_keras_serializable("keras_lm")
class GPT(ShowsAttention, LanguageModel):
    """A causal language model. The defaults are GPT-2 small.

    Args:
        vocab_size: V.
        hidden_size: D.
        num_layers: number of Transformer blocks.
        num_attention_heads: heads of each attention; D must be a multiple of it, unless `head_dim`
            is given.
        num_hidden_units: width of the feed-forward layers.
        pos_embedding_size: width of the position table. None: D; projected where it differs.
        dropout_rate: of embeddings, sublayers and attention weights.
        max_length: number of positions.
        activation: `"gelu_tanh"` (GPT-2's) or `"gelu"` (exact), or another that Keras knows.
        layer_norm_epsilon: of the norms.
        attention_dropout_rate: of the attention weights. None: `dropout_rate`.
        head_dim: width of a head. None: D divided by the number of heads. In two of GPT-3's sizes
            the heads together are wider or narrower than D.
        window: layers 1, 3, 5... see the last `window` tokens only, the newest among them, and
            cache no more (GPT-3); their time and memory grow with T x window. None: all layers see
            all.
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
        logits: False: what the token table is multiplied by, in the place of the logits.

    Returns:
        float32 logits `(B, T, V)`, of the token that follows each; without a head the hidden
        states, float `(B, T, D)`.

    Raises:
        ValueError: sizes that do not fit each other, an unknown head, a tokenizer with more tokens
            than `vocab_size`.
    """

    HEADS = ("causal_lm",)
    SAMPLED_HEADS = ("causal_lm",)
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
        attention_dropout_rate: float | None = None,
        head_dim: int | None = None,
        window: int | None = None,
        initializer_range: float = 0.02,
        heads: tuple[str, ...] = ("causal_lm",),
        tokenizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(heads=heads, tokenizer=tokenizer, vocab_size=vocab_size, **kwargs)
        self.max_length = max_length
        own = {"dtype": self.dtype_policy}
        normal = keras.initializers.RandomNormal(stddev=initializer_range)
        # Each block adds to the residual twice (section 2.3).
        residual = keras.initializers.RandomNormal(
            stddev=initializer_range / (2 * max(num_layers, 1)) ** 0.5
        )
        embedding = TextEmbedding(
            vocab_size,
            hidden_size,
            max_length,
            dropout_rate,
            pos_embedding_size=pos_embedding_size,
            normalize=False,
            embeddings_initializer=normal,
            name="embedding",
            **own,
        )
        self.decoder = TransformerDecoder(
            embedding,
            num_layers,
            num_attention_heads,
            num_hidden_units,
            dropout_rate,
            attention_dropout_rate=attention_dropout_rate,
            norm="pre",
            head_dim=head_dim,
            window=window,
            activation=activation,
            layer_norm_epsilon=layer_norm_epsilon,
            kernel_initializer=normal,
            output_initializer=residual,
            name="decoder",
            **own,
        )

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight, from the sizes alone."""
        build_once(self.decoder)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None, logits: bool = True) -> Any:
        """Decodes and predicts; see the class."""
        hidden_BTD = self.decoder(inputs, training=training)
        outputs = {}
        if "causal_lm" in self.heads:
            tokens = self.decoder.embedding.tokens
            outputs["causal_lm"] = tokens.logits(hidden_BTD) if logits else hidden_BTD
        return by_head(outputs, hidden_BTD)

    def head_table(self, head: str) -> tuple[Tensor, Tensor]:
        """Returns the table `(V, D)` that the head multiplies by, and None: it has no bias."""
        return self.decoder.embedding.tokens.embeddings, None

    def prefill(
        self,
        token_ids: Tensor,
        lengths: Tensor,
        cache_length: Tensor,
        spare: Tensor = 0,
        slots: Tensor | None = None,
    ) -> tuple[Tensor, DecoderCache]:
        """Reads the prompts, each at once.

        Args:
            token_ids: int32 `(B, T)`, padded on the right.
            lengths: int32 `(B,)`, tokens of each prompt, at least 1.
            cache_length: S, int scalar, at least T.
            spare: how many tokens may be taken back, see `keras_lm.layers.StartCache`.
            slots: for how many positions there is room at first, at least T, where the cache may
                grow by `decoder.make_room`. None: for all.

        Returns:
            float32 logits `(B, V)` of the token behind each prompt, and the cache.
        """
        start = StartCache(cache_length, lengths, spare, slots)
        hidden_BTD, cache = self.decoder(token_ids, cache=start)
        last_BD = tf.gather(hidden_BTD, lengths - 1, batch_dims=1)
        return self.decoder.embedding.tokens.logits(last_BD), cache

    def step(self, token_ids: Tensor, cache: DecoderCache) -> tuple[Tensor, DecoderCache]:
        """Reads one more token of each row.

        Args:
            token_ids: int32 `(B,)`.
            cache: of `prefill` or the step before.

        Returns:
            float32 logits `(B, V)` of the token that follows, and the cache.
        """
        hidden_B1D, cache = self.decoder(token_ids[:, None], cache=cache)
        return self.decoder.embedding.tokens.logits(hidden_B1D[:, 0]), cache

    def steps(self, token_ids: Tensor, cache: DecoderCache) -> tuple[Tensor, DecoderCache]:
        """Reads several more tokens of each row at once.

        Args:
            token_ids: int32 `(B, T)`.
            cache: of `prefill` or the step before.

        Returns:
            float32 logits `(B, T, V)` of what follows each, and the cache.
        """
        hidden_BTD, cache = self.decoder(token_ids, cache=cache)
        # As rows of their own: few, other than in a pass over whole texts.
        logits_NV = self.decoder.embedding.tokens.logits(flat_rows(hidden_BTD))
        return as_before(logits_NV, hidden_BTD), cache

    def generate(
        self,
        prompts: str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]],
        max_length: int | None = None,
        *,
        max_new_tokens: int | Sequence[int] | None = None,
        num_return_sequences: int = 1,
        stop: str | Sequence[str] = (),
        return_scores: bool = False,
        **options: Unpack[GenerationOptions],
    ) -> Any:
        """Continues prompts.

        Greedy, unless beams, draws or several sequences are asked for. A prompt gives the same
        text whatever prompts are beside it, up to rounding of the logits. Options that are lists
        have a value for each prompt.

        Args:
            prompts: a text, several texts, a list of ids, or several lists of ids. An empty prompt
                begins a new document.
            max_length: tokens of prompt and continuation together, at most the model's.
            max_new_tokens: tokens of the continuation, for all or a list; instead of `max_length`.
                Neither: 50, or as many as fit.
            num_return_sequences: continuations of each prompt.
            stop: a text or texts at which a continuation ends; they are not part of it. With
                prompts of text only.
            return_scores: whether each answer comes with its scores.
            **options: see `keras_lm.models.generation_options.GenerationOptions`.

        Returns:
            Prompt and continuation, of the prompts' kind: str or list of ids, or with scores a
            `keras_lm.models.generation_request.Answer`; with several sequences a list of them; for
            several prompts a list of these.

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
            return_scores=return_scores,
            **options,
        )

    def stream(
        self,
        prompt: str,
        max_length: int | None = None,
        *,
        max_new_tokens: int | None = None,
        tokens_per_step: int = 8,
        stop: str | Sequence[str] = (),
        **options: Unpack[GenerationOptions],
    ) -> Iterator[str]:
        """Continues a prompt, piece by piece.

        Args:
            prompt: a text; an empty one begins a new document.
            max_length: as of `generate`; and so the rest.
            max_new_tokens: see there.
            tokens_per_step: how many tokens are generated at once, in one call of a graph. The
                first piece comes after one.
            stop: see there.
            **options: see there; a beam search has nothing to give before its end.

        Returns:
            An iterator of str, pieces of whole characters. Joined they are what `generate` adds to
            the prompt.

        Raises:
            ValueError: as of `generate`; a beam search; `tokens_per_step` below 1.
            TypeError: an option of another kind; a prompt that is no text.
        """
        self.require_head("stream()", "causal_lm")
        return stream(
            self,
            made_once(TextGenerator, self, self.require_tokenizer("stream()")),
            prompt,
            max_length=max_length,
            max_new_tokens=max_new_tokens,
            tokens_per_step=tokens_per_step,
            stop=stop,
            **options,
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

    def attributions(
        self,
        prompts: str | Sequence[str],
        target: str | Sequence[str | None] | None = None,
        *,
        steps: int = 50,
        baseline: str | None = None,
        output: str = "log_probability",
        batch_size: int | None = None,
    ) -> Any:
        """Says by how much each token of a prompt moved what follows, by integrated gradients.

        Source: Sundararajan et al. 2017, arXiv:1703.01365, section 3; see
        `keras_lm.models.explanations.prompt_attributions`.

        Args:
            prompts: a text, or several; read as `generate` reads them.
            target: the text behind the prompt whose probability is explained, such as `" Paris"`,
                or a list with one for each prompt. It is tokenized by itself. None: the likeliest
                next token.
            steps: gradients that are computed of each prompt.
            baseline: see `keras_lm.TextClassifier.attributions`.
            output: `"log_probability"`, the sum over the target's tokens of the natural logarithm
                of what each had behind those before it; or `"probability"`, of all together.
            batch_size: points of the line that are computed at once. None: 32.

        Returns:
            `keras_lm.models.explanations.attribution.Attribution`, whose tokens are those of the
            prompt; of several prompts a list of them.

        Raises:
            ValueError: no tokenizer; no prompt, or one without a token; a target without a token;
                both together longer than `max_length`; an unknown baseline or output; a number that
                is not positive.
        """
        self.require_head("attributions()", "causal_lm")
        return prompt_attributions(
            self,
            prompts,
            target,
            steps=steps,
            baseline=baseline,
            output=output,
            batch_size=batch_size,
        )
