"""What an encoder-decoder model does: reads both sides, decodes step by step, answers and scores.

The base of `Transformer` and of the tasks over it, which bring the layers.

B batch, S length of the source, T length of the target, C positions of the cache, D hidden size, V
vocabulary.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Unpack

import tensorflow as tf

from keras_lm.layers import DecoderCache, StartCache
from keras_lm.layers.inputs import as_inputs
from keras_lm.models.explanations.pair_attention import pair_attention
from keras_lm.models.explanations.source_attributions import source_attributions
from keras_lm.models.generation_options import GenerationOptions
from keras_lm.models.interface import by_head, made_once
from keras_lm.models.pair_scoring import PairScorer, score_pairs
from keras_lm.models.scoring import Scores
from keras_lm.models.sources import generate, stream
from keras_lm.models.text_to_text import TextToText
from keras_lm.training import LanguageModel

Tensor = Any

_INPUTS = ("token_ids", "decoder_token_ids", "padding_mask", "decoder_padding_mask")


class GivesTargets(LanguageModel):
    """Abstract base of models with an `encoder`, a `decoder`, their `tokens` and a head `seq2seq`.

    Attributes:
        start_ids: the ids that a target begins with.
        end_id: the id that ends a target, or None.
    """

    encoder: Any
    decoder: Any
    tokens: Any
    seq2seq: Any
    start_ids: Any
    end_id: Any

    def call(self, inputs: Any, training: bool | None = None, logits: bool = True) -> Any:
        """Reads both sides and predicts; see the class."""
        inputs = as_inputs(inputs)
        if "decoder_token_ids" not in inputs or set(inputs) - set(_INPUTS):
            raise ValueError(
                "A Transformer reads token_ids and decoder_token_ids and, where wanted, "
                f"{' and '.join(_INPUTS[2:])}. Received: {', '.join(sorted(inputs))}"
            )
        source = {name: inputs[name] for name in ("token_ids", "padding_mask") if name in inputs}
        target = {
            name: inputs[f"decoder_{name}"]
            for name in ("token_ids", "padding_mask")
            if f"decoder_{name}" in inputs
        }
        memory_BSD = self.encoder(source, training=training)
        hidden_BTD = self.decoder(
            target, memory_BSD, memory_mask=inputs.get("padding_mask"), training=training
        )
        outputs = {}
        if "seq2seq" in self.heads:
            outputs["seq2seq"] = (
                self.seq2seq(hidden_BTD, tokens=self.tokens) if logits else hidden_BTD
            )
        return by_head(outputs, hidden_BTD)

    def head_table(self, head: str) -> tuple[Tensor, Tensor]:
        """Returns the table `(V, D)` that the head multiplies by, and its bias `(V,)` or None."""
        return self.tokens.embeddings, self.seq2seq.bias if self.seq2seq.use_bias else None

    def prefill(
        self,
        token_ids: Tensor,
        lengths: Tensor,
        decoder_token_ids: Tensor,
        cache_length: Tensor,
        slots: Tensor | None = None,
    ) -> tuple[Tensor, DecoderCache]:
        """Encodes the sources and reads the beginnings of their targets.

        Args:
            token_ids: int32 `(B, S)`, sources padded on the right.
            lengths: int32 `(B,)`, tokens of each source, at least 1.
            decoder_token_ids: int32 `(B, T)`, beginnings of targets, without padding.
            cache_length: C, int scalar, at least T.
            slots: for how many positions there is room at first, at least T, where the cache may
                grow by `decoder.make_room`. None: for all.

        Returns:
            float32 logits `(B, V)` of the token behind each beginning, and the cache, which holds
            the keys and values of the encoded source.
        """
        real_BS = tf.sequence_mask(lengths, tf.shape(token_ids)[1])
        memory_BSD = self.encoder({"token_ids": token_ids, "padding_mask": real_BS})
        hidden_BTD, cache = self.decoder(
            decoder_token_ids,
            memory_BSD,
            memory_mask=real_BS,
            cache=StartCache(cache_length, slots=slots),
        )
        return self.seq2seq(hidden_BTD[:, -1], tokens=self.tokens), cache

    def step(self, token_ids: Tensor, cache: DecoderCache) -> tuple[Tensor, DecoderCache]:
        """Reads one more token of each target.

        Args:
            token_ids: int32 `(B,)`.
            cache: of `prefill` or the step before.

        Returns:
            float32 logits `(B, V)` of the token that follows, and the cache.
        """
        hidden_B1D, cache = self.decoder(token_ids[:, None], cache=cache)
        return self.seq2seq(hidden_B1D[:, 0], tokens=self.tokens), cache

    def generate(
        self,
        sources: str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]],
        max_length: int | None = None,
        *,
        max_new_tokens: int | Sequence[int] | None = None,
        num_return_sequences: int = 1,
        stop: str | Sequence[str] = (),
        return_scores: bool = False,
        **options: Unpack[GenerationOptions],
    ) -> Any:
        """Gives the targets of sources.

        Greedy, unless beams, draws or several sequences are asked for. A source gives the same
        target whatever sources are beside it, up to rounding of the logits. Options that are lists
        have a value for each source.

        Args:
            sources: a text, several texts, a list of ids, or several lists of ids, which are read
                as they are: with the special tokens that a source has in training.
            max_length: tokens of a target, with those that it begins with, at most the model's.
            max_new_tokens: tokens of a target without those, for all or a list; instead of
                `max_length`. Neither: 50 more than the source has (section 6.1), or as many as fit.
            num_return_sequences: targets of each source.
            stop: a text or texts at which a target ends; they are not part of it. With sources of
                text only.
            return_scores: whether each answer comes with its scores.
            **options: see `keras_lm.models.generation_options.GenerationOptions`.

        Returns:
            Targets, without the tokens that they begin with and the one that ends them, of the
            sources' kind: str or list of ids, or with scores a
            `keras_lm.models.generation_request.Answer`; with several sequences a list of them; for
            several sources a list of these.

        Raises:
            ValueError: no tokenizer for sources of text; no source; an id outside the vocabulary; a
                source longer than `max_length` of the model; options out of range; both limits; it
                is not known what a target begins with.
            TypeError: an option of another kind.
        """
        self.require_head("generate()", "seq2seq")
        return generate(
            self,
            made_once(TextToText, self, self.tokenizer),
            sources,
            max_length=max_length,
            max_new_tokens=max_new_tokens,
            num_return_sequences=num_return_sequences,
            stop=stop,
            return_scores=return_scores,
            **options,
        )

    def stream(
        self,
        source: str,
        max_length: int | None = None,
        *,
        max_new_tokens: int | None = None,
        tokens_per_step: int = 8,
        stop: str | Sequence[str] = (),
        **options: Unpack[GenerationOptions],
    ) -> Iterator[str]:
        """Gives the target of a source, piece by piece.

        Args:
            source: a text.
            max_length: as of `generate`; and so the others.
            max_new_tokens: see there.
            tokens_per_step: how many tokens a call of the graph adds; the first gives one.
            stop: see there.
            **options: see there; no beams.

        Returns:
            An iterator of str, pieces of whole characters. Joined they are what `generate` gives.

        Raises:
            ValueError: as of `generate`; beams; `tokens_per_step` below 1.
            TypeError: an option of another kind; a source that is no text.
        """
        self.require_head("stream()", "seq2seq")
        return stream(
            self,
            made_once(TextToText, self, self.require_tokenizer("stream()")),
            source,
            max_length=max_length,
            max_new_tokens=max_new_tokens,
            tokens_per_step=tokens_per_step,
            stop=stop,
            **options,
        )

    def score(
        self, sources: str | Sequence[str], targets: str | Sequence[str], batch_size: int = 8
    ) -> Scores:
        """Tells how likely the model finds targets, given their sources.

        A target is scored as a whole: the token that ends it counts too.

        Args:
            sources: a text, or several.
            targets: a text, or several, one for each source.
            batch_size: pairs that are read at once.

        Returns:
            `Scores`, an array with a value for each pair in every field.

        Raises:
            ValueError: no tokenizer; no pair; not as many targets as sources; an empty target; a
                text longer than `max_length` tokens.
        """
        self.require_head("score()", "seq2seq")
        scorer = made_once(PairScorer, self, self.require_tokenizer("score()"))
        return score_pairs(scorer, sources, targets, batch_size)

    def write(self, sources: list[str]) -> list[str]:
        """Gives the target of each source, as the model answers when nobody says how."""
        return self.generate(sources)

    def attributions(
        self,
        sources: str | Sequence[str],
        target: str | Sequence[str | None] | None = None,
        *,
        steps: int = 50,
        baseline: str | None = None,
        output: str = "log_probability",
        batch_size: int | None = None,
    ) -> Any:
        """Says by how much each token of a source moved its target, by integrated gradients.

        Source: Sundararajan et al. 2017, arXiv:1703.01365, section 3; see
        `keras_lm.models.explanations.source_attributions`.

        Args:
            sources: a text, or several.
            target: the text whose probability is explained, or a list with one for each source.
                None: what the model writes: of a task what `predict` answers, else what `generate`
                gives.
            steps: gradients that are computed of each source.
            baseline: see `keras_lm.TextClassifier.attributions`.
            output: `"log_probability"`, that of `score`: the sum over the target's tokens and the
                one that ends it; or `"probability"`, of all together.
            batch_size: points of the line that are computed at once. None: 32.

        Returns:
            `keras_lm.models.explanations.attribution.Attribution`, whose tokens are those of the
            source; of several sources a list of them.

        Raises:
            ValueError: no tokenizer; no source; a target without a token, or longer than the model;
                an unknown baseline or output; a number that is not positive.
        """
        self.require_head("attributions()", "seq2seq")
        return source_attributions(
            self,
            sources,
            target,
            self.write,
            steps=steps,
            baseline=baseline,
            output=output,
            batch_size=batch_size,
        )

    def attention_scores(
        self,
        sources: str | Sequence[str],
        target: str | Sequence[str | None] | None = None,
    ) -> Any:
        """Reads sources and their targets and gives the attention weights of every layer and head.

        They are those of an ordinary pass without dropout, which itself never keeps them. Of ids:
        `model.encoder(inputs, return_attention_scores=True)`, and `model.decoder` with
        `return_attention_scores` and `return_cross_attention_scores`.

        Args:
            sources: a text, or several.
            target: the text that the decoder reads, or a list with one for each source. None: what
                the model writes, see `attributions`.

        Returns:
            `keras_lm.models.explanations.pair_attention.PairAttention`; of several sources a list
            of them.

        Raises:
            ValueError: no tokenizer; no source; a target without a token, or longer than the model.
        """
        return pair_attention(self, sources, target, self.write)
