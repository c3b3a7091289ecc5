"""How a model that has read its input goes on: the decode loops behind a tokenizer's vocabulary.

What is read, prompts (`text_generation`) or sources (`text_to_text`), makes no difference here.
Long, since each way of going on (draws, beams, pieces, proposals) is here with the same vocabulary.

B rows that were read, C answers to each, R rows of answers (B x C), K beams, N room for new tokens,
V vocabulary.
"""

import abc
import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from keras_lm import generation
from keras_lm.models.interface import graph
from keras_lm.models.speculation import Proposals

Tensor = Any

PAD_ID = -1


class Structure(NamedTuple):
    """What is fixed when a graph is traced.

    Attributes:
        num_beams: K; 1: no beam search.
        rules: `keras_lm.generation.Rules`.
        proposals: `keras_lm.models.speculation.Proposals`, or None.
        stop: texts at which an answer ends, where clients do not say it: in an export.
        scores: whether log-probabilities are wanted there.
    """

    num_beams: int = 1
    rules: generation.Rules = generation.Rules()
    proposals: Proposals | None = None
    stop: tuple[str, ...] = ()
    scores: bool = False

    @property
    def of_graph(self) -> "Structure":
        """What a graph is traced for: stops and scores are in its request."""
        return self._replace(stop=(), scores=False)


PLAIN = Structure()


class Request(NamedTuple):
    """What a graph is asked for.

    Attributes:
        options: `keras_lm.generation.Options` of the B rows.
        beams: `keras_lm.generation.BeamOptions` of the B rows; read by a beam search only.
        copies: C, int32 scalar. Answers to one row are told apart by their number; of a beam search
            they are the C best.
        stop: string scalar, a regular expression that matches bytes at which an answer ends; "" for
            none.
        scores: bool scalar, whether log-probabilities are wanted.
    """

    options: generation.Options
    beams: generation.BeamOptions
    copies: Tensor
    stop: Tensor
    scores: Tensor


class Answers(NamedTuple):
    """New tokens of R rows, those of one row that was read together.

    Attributes:
        token_ids: int32 `(R, N)`, padded with -1.
        lengths: int32 `(R,)`, without an end token.
        reasons: int32 `(R,)`, a `keras_lm.generation.Reason`.
        scores: float32 `(R,)`, of a beam search its score, else the log-probability of the answer;
            0 there if scores are not asked for.
        log_probs: float32 `(R, N)`, of each token, see `keras_lm.generation.Generated`.
        passes: int32 `(R,)`, how often the model ran until the row had ended, the pass that read
            the prompt included. This and what follows is not counted, and 0, in a beam search.
        proposed: int32 `(R,)`, how many tokens were proposed.
        accepted: int32 `(R,)`, how many of them were accepted.
    """

    token_ids: Tensor
    lengths: Tensor
    reasons: Tensor
    scores: Tensor
    log_probs: Tensor
    passes: Tensor
    proposed: Tensor
    accepted: Tensor


class Asked(NamedTuple):
    """What clients ask for, within range.

    Attributes:
        token_ids: int32 `(B, T)`, padded on the right.
        lengths: int32 `(B,)`, at least 1.
        request: what the model has room for.
        status: int32 `(B,)`, 0 or a sum of `keras_lm.generation.Status` and
            `keras_lm.models.limits.CUT`.
        continues: bool `(B,)`, whether the answer goes on with a text that was read.
    """

    token_ids: Tensor
    lengths: Tensor
    request: Request
    status: Tensor
    continues: Tensor


def _per_row(dtypes: Any) -> Any:
    return type(dtypes)(*(tf.TensorSpec([None], dtype) for dtype in dtypes))


# What the graphs take: ids of rows, their lengths, and the request.
SIGNATURE = (
    tf.TensorSpec([None, None], "int32"),
    tf.TensorSpec([None], "int32"),
    Request(
        options=_per_row(generation.OPTION_DTYPES),
        beams=_per_row(generation.BEAM_OPTION_DTYPES),
        copies=tf.TensorSpec([], "int32"),
        stop=tf.TensorSpec([], "string"),
        scores=tf.TensorSpec([], "bool"),
    ),
)


def clamped(
    structure: Structure,
    options: generation.Options,
    beams: generation.BeamOptions | None,
    *,
    limit: int | Tensor,
) -> tuple[Request, Tensor]:
    """Asks for what clients ask for, within range.

    Args:
        structure: of the graph; of a beam search all beams are answers.
        options: of the B rows, of any values.
        beams: the same, or None.
        limit: the most new tokens there is room for.

    Returns:
        The request, and the bits of `keras_lm.generation.Status`, int32 `(B,)`.
    """
    options, status_B = generation.clamp_options(options, limit=limit)
    request = request_of(structure, options)
    if beams is not None:
        beams, more_B = generation.clamp_beam_options(beams)
        request, status_B = request._replace(beams=beams), status_B + more_B
    return request, status_B


def request_of(structure: Structure, options: generation.Options) -> Request:
    """Asks for the options and what the structure fixes; of a beam search for all beams."""
    return Request(
        options=options,
        beams=generation.default_beam_options(options.max_new_tokens),
        copies=tf.constant(structure.num_beams),
        stop=tf.constant(any_of(structure.stop)),
        scores=tf.constant(structure.scores),
    )


def any_of(texts: Sequence[str]) -> str:
    """Gives a regular expression that matches any of these texts; "" for none."""
    # Punctuation that Python escapes is escaped the same in TensorFlow's regular expressions.
    return "|".join(map(re.escape, texts))


def before_stop(text: Tensor, stop: Sequence[str]) -> Tensor:
    """Cuts texts, strings of any shape, where the first of these begins."""
    return tf.strings.regex_replace(text, f"(?s)(?:{any_of(stop)}).*", "") if stop else text


def room_for(options: generation.Options) -> Tensor:
    """Gives N, int32 scalar: as many tokens as the row that asks for most, and at least 1."""
    return tf.reduce_max(tf.concat([options.max_new_tokens, [1]], 0))


class Continuation(abc.ABC):
    """A model that reads rows and goes on; writes no variable, so calls may run concurrently.

    Args:
        tokenizer: for `stop`, or None.
        end_id: the token that ends an answer, or None.
    """

    model: Any

    def __init__(self, tokenizer: Any, end_id: int | None) -> None:
        self.tokenizer, self.end_id = tokenizer, end_id
        # Each keeps a graph as large as the model: what nobody asks for any more is let go.
        self.graph_of = functools.lru_cache(maxsize=8)(self._graph_of)
        self.stream_graphs_of = functools.lru_cache(maxsize=8)(self._stream_graphs_of)

    @abc.abstractmethod
    def read(
        self, token_ids: Tensor, lengths: Tensor, room: Tensor
    ) -> tuple[Tensor, Any, generation.Prompt]:
        """Reads rows.

        Args:
            token_ids: int32 `(B, T)`, padded on the right.
            lengths: int32 `(B,)`, at least 1.
            room: N, int32 scalar.

        Returns:
            float logits `(B, V)` of the token behind each row; the cache, a
            `keras_lm.layers.DecoderCache` that may grow by N; and what stands before the answers.
        """

    @abc.abstractmethod
    def step(self, token_ids: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """Reads one more token of each row, see `keras_lm.generation.Decoder`."""

    def make_room(self, cache: Any, count: Tensor, spare: Tensor = 0) -> Any:
        """Lets the cache grow, see `keras_lm.generation.segments`, and by how much at once."""
        return self.model.decoder.make_room(cache, count, spare)

    def join(self, cache: Any, rows: Tensor, other: Any, other_rows: Tensor, room: Tensor) -> Any:
        """Puts rows of two caches together, see `keras_lm.layers.TransformerDecoder`."""
        return self.model.decoder.join(cache, rows, other, other_rows, room)

    def reorder(self, cache: Any, rows: Tensor) -> Any:
        """Moves beams of the same row, see `keras_lm.generation.beam_search`."""
        return cache.of_beams(rows)

    def answers(
        self, structure: Structure, token_ids: Tensor, lengths: Tensor, request: Request
    ) -> Answers:
        """Reads rows and goes on.

        Args:
            structure: see there.
            token_ids: as `read` takes them.
            lengths: see there.
            request: what the model has room for.
        """
        room = room_for(request.options)
        if structure.num_beams > 1:
            logits_BV, cache, prompt = self.read(token_ids, lengths, room)
            return self._search(structure, self._known(logits_BV), cache, prompt, request)
        # The graphs of a stream: who asks for both, an export above all, holds the model once.
        start, go_on = self.stream_graphs_of(structure)
        decoding, cache, prompt = start(token_ids, lengths, request)
        decoding, _ = go_on(decoding, cache, prompt, request, room)
        found = decoding.found
        none_R = tf.zeros_like(found.lengths)
        ended_R = tf.equal(found.reasons, int(generation.Reason.END_TOKEN))
        passes_R = tf.maximum(found.lengths + tf.cast(ended_R, tf.int32), 1)
        return answers_of(found, passes_R, none_R, none_R)

    def answers_to(self, structure: Structure, asked: Asked) -> Answers:
        """`answers` to what clients ask for, in a graph that is traced once."""
        return self.graph_of(structure.of_graph)(asked.token_ids, asked.lengths, asked.request)

    def _decoder(
        self,
        structure: Structure,
        prompt: generation.Prompt,
        request: Request,
        room: Tensor,
        *,
        cache_grows: bool = True,
    ) -> generation.Decoder:
        """Returns what decodes the R rows."""
        copied = copies_of(prompt.lengths, request.copies)
        return generation.Decoder(
            self._known_step,
            options=generation.Options(*map(copied, request.options)),
            buffer_length=room,
            end_id=self.end_id,
            pad_id=PAD_ID,
            sequence=tf.tile(tf.range(request.copies), [tf.size(prompt.lengths)]),
            should_stop=self._ends_with(request.stop),
            prompt=generation.Prompt(*map(copied, prompt)),
            rules=structure.rules,
            scores=request.scores,
            make_room=self.make_room if cache_grows else None,
        )

    def _graph_of(self, structure: Structure) -> Any:
        """`answers` as a graph that is traced once."""
        return graph(lambda *inputs: self.answers(structure, *inputs), *SIGNATURE)

    def _stream_graphs_of(self, structure: Structure) -> tuple[Any, Any]:
        """`answers` in pieces: what takes the first token, and what takes more of them.

        The first takes what `answers` takes and returns a `keras_lm.generation.Decoding`, the cache
        and the prompt; the second takes these, the request and an int32 scalar, so many tokens at
        most, and returns decoding and cache. Each is traced once.
        """

        def start(token_ids: Tensor, lengths: Tensor, request: Request) -> Any:
            room = room_for(request.options)
            logits_BV, cache, prompt = self.read(token_ids, lengths, room)
            copied = copies_of(lengths, request.copies)
            decoder = self._decoder(structure, prompt, request, room)
            decoding = decoder.start(copied(self._known(logits_BV)))
            return decoding, tf.nest.map_structure(copied, cache), prompt

        def go_on(decoding: Any, cache: Any, prompt: Any, request: Request, more: Tensor) -> Any:
            # Not the room for what the rows ask: some that asked for more may have been dropped.
            room = tf.shape(decoding.found.token_ids)[1]
            return self._decoder(structure, prompt, request, room).go_on(decoding, cache, more)

        first = graph(start, *SIGNATURE)
        begun = first.get_concrete_function().structured_outputs
        specs = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), begun)
        return first, graph(go_on, *specs, SIGNATURE[-1], tf.TensorSpec([], "int32"))

    def _search(
        self,
        structure: Structure,
        logits: Tensor,
        cache: Any,
        prompt: generation.Prompt,
        request: Request,
    ) -> Answers:
        found = generation.beam_search(
            logits,
            cache,
            self._known_step,
            num_beams=structure.num_beams,
            options=request.options,
            beam_options=request.beams,
            buffer_length=room_for(request.options),
            end_id=self.end_id,
            pad_id=PAD_ID,
            should_stop=self._ends_with(request.stop),
            prompt=prompt,
            rules=structure.rules,
            reorder=self.reorder,
            make_room=self.make_room,
        )

        def best(x: Tensor) -> Tensor:
            x = x[:, : request.copies]
            return tf.reshape(x, tf.concat([[-1], tf.shape(x)[2:]], 0))

        none_R = tf.zeros_like(best(found.lengths))
        return Answers(
            token_ids=best(found.token_ids),
            lengths=best(found.lengths),
            reasons=best(found.reasons),
            scores=best(found.scores),
            log_probs=best(found.log_probs),
            passes=none_R,
            proposed=none_R,
            accepted=none_R,
        )

    def _known(self, logits: Tensor) -> Tensor:
        # A vocabulary may be padded beyond the tokenizer's; what has no text is never drawn.
        known = logits.shape[-1] if self.tokenizer is None else self.tokenizer.vocab_size
        return logits[..., :known]

    def _known_step(self, token_ids: Tensor, cache: Any) -> tuple[Tensor, Any]:
        logits_RV, cache = self.step(token_ids, cache)
        return self._known(logits_RV), cache

    def _ends_with(self, stop: Tensor) -> Any:
        """Gives the decode loop's hook: does the newest text match `stop`?"""
        if self.tokenizer is None:
            return None

        def text_so_far(token_ids: Tensor, lengths: Tensor) -> Tensor:
            real = tf.sequence_mask(lengths, tf.shape(token_ids)[1])
            piece = tf.gather(self.tokenizer.token_bytes, tf.maximum(token_ids, 0))
            return tf.strings.reduce_join(tf.where(real, piece, ""), axis=1)

        def should_stop(token_ids: Tensor, lengths: Tensor) -> Tensor:
            def search() -> Tensor:
                text = text_so_far(token_ids, lengths)
                shorter = tf.strings.regex_replace(text, stop, "", replace_global=False)
                return tf.strings.length(shorter) < tf.strings.length(text)

            return tf.cond(tf.equal(stop, ""), lambda: tf.zeros_like(lengths, "bool"), search)

        return should_stop


def answers_of(
    found: generation.Generated, passes: Tensor, proposed: Tensor, accepted: Tensor
) -> Answers:
    """Gives what was generated as answers, each with the log-probability of the whole."""
    return Answers(
        token_ids=found.token_ids,
        lengths=found.lengths,
        reasons=found.reasons,
        scores=tf.reduce_sum(found.log_probs, -1),
        log_probs=found.log_probs,
        passes=passes,
        proposed=proposed,
        accepted=accepted,
    )


def scores_of(found: Answers, structure: Structure) -> dict[str, Tensor]:
    """Gives what an export answers besides where scores are wanted.

    Returns:
        Nothing, or `log_probs` float32 `(R, N)`, of each token and, behind the text, of the end
        token if one was taken, then 0; `score` float32 `(R,)`, of them all together.
    """
    return {"log_probs": found.log_probs, "score": found.scores} if structure.scores else {}


def copies_of(rows: Tensor, copies: Tensor) -> Callable[[Tensor], Tensor]:
    """Returns a function that repeats each of B rows, `(B, ...)` to `(B x C, ...)`.

    Args:
        rows: of any kind, `(B, ...)`.
        copies: C, int32 scalar.
    """
    # Once for all that is repeated: tf.repeat is twenty operations.
    row_R = tf.repeat(tf.range(tf.shape(rows)[0]), copies)
    row_R.set_shape([None])
    return lambda x: tf.gather(x, row_R)
