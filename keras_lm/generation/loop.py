"""The decode loop: ids in, ids out. It knows no model and no text.

A model gives the logits of each row's last prompt token, a cache, and
`step(token_ids, cache) -> (logits, cache)`. The same loop runs eagerly, in a `tf.function` and in a
SavedModel, and gives the same ids there.

B batch, V vocabulary, N room for new tokens.
"""

import enum
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_lm.generation.options import Options
from keras_lm.generation.processing import Prompt, processor
from keras_lm.generation.rules import Rules
from keras_lm.generation.sampling import log_probability, pick_and_weigh
from keras_lm.generation.segments import MakeRoom, turns
from keras_lm.generation.threefry import uniforms

Tensor = Any
Step = Callable[[Tensor, Any], tuple[Tensor, Any]]


class Reason(enum.IntEnum):
    """Why a row ended.

    | value | name | the row |
    |---|---|---|
    | 1 | END_TOKEN | took an end token, which is not part of its text |
    | 2 | LENGTH | has as many tokens as it may have |
    | 3 | STOPPED | was ended by `should_stop`; its last token is part of its text |
    """

    END_TOKEN = 1
    LENGTH = 2
    STOPPED = 3


RUNNING = 0


class Generated(NamedTuple):
    """New tokens, without the prompt.

    Attributes:
        token_ids: int32 `(B, N)`, padded on the right.
        lengths: int32 `(B,)`, tokens of text; end tokens are not counted.
        reasons: int32 `(B,)`, a `Reason`.
        log_probs: float32 `(B, N)`, natural logarithm of the probability of each token in the
            softmax of the model's own logits; that of an end token stands behind the text. 0
            elsewhere, and where scores are not asked for.
        processed_log_probs: float32 `(B, N)`, the same under what the token was taken from: behind
            penalties, rules, temperature and filters, see `sampling.log_probability`.
    """

    token_ids: Tensor
    lengths: Tensor
    reasons: Tensor
    log_probs: Tensor
    processed_log_probs: Tensor


class Decoding(NamedTuple):
    """A decoding under way.

    Attributes:
        count: int32 scalar, steps so far. A row that has not ended has got a token in each, but for
            those that another decoding gave it before it came here.
        last: int32 `(B,)`, the newest of each row.
        found: what there is so far; the reason of a row that has not ended is 0.
    """

    count: Tensor
    last: Tensor
    found: Generated


class Decoder:
    """Continues rows until they end.

    A row's text is a function of its logits, its options and its sequence number: not of the rows
    beside it. Rows with equal prompts, seeds and sequence numbers give equal text.

    Args:
        step: takes int32 `(B,)`, the newest token of each row, and the cache, any nest of tensors;
            returns the next logits, float `(B, V)`, and the cache in the same shapes. It is called
            at most N - 1 times, and not after the last token of the last row. A row that has ended
            is still stepped, with some token of the vocabulary.
        options: the rows' `Options`. A row with `max_new_tokens` below 1 gets no token.
        buffer_length: N, int or int scalar, at least 1. `max_new_tokens` beyond it ends there.
        end_id: the token or tokens that end a text, or None.
        pad_id: fills `token_ids` behind each text; need not be in the vocabulary.
        sequence: int `(B,)`, tells rows with one seed apart, for instance the number of the row
            among several answers to one prompt. None: 0.
        should_stop: called after each token with `token_ids` `(B, N)` and `lengths` `(B,)` so far;
            returns bool `(B,)`, True where the row ends with the token that it has just got.
        prompt: what `repetition_penalty`, `no_repeat_ngram_size` and `bad_words` see before the
            first new token, a `Prompt`. None: nothing.
        rules: `Rules` for all rows, or None.
        scores: bool, or bool scalar: whether to give log-probabilities.
        make_room: lets a cache grow, see `segments.turns`. None: it has room for N - 1 positions.
    """

    def __init__(
        self,
        step: Step,
        *,
        options: Options,
        buffer_length: int | Tensor,
        end_id: int | Sequence[int] | None,
        pad_id: int = 0,
        sequence: Tensor | None = None,
        should_stop: Callable[[Tensor, Tensor], Tensor] | None = None,
        prompt: Prompt | None = None,
        rules: Rules | None = None,
        scores: bool | Tensor = False,
        make_room: MakeRoom | None = None,
    ) -> None:
        self.step, self.options, self.pad_id = step, options, pad_id
        self.make_room = make_room
        self.should_stop, self.scores = should_stop, scores
        self.sequence, self.prompt, self.rules = sequence, prompt, rules
        self.end_ids = as_ids(end_id)
        self.buffer_length = tf.cast(buffer_length, tf.int32)
        self.max_new_B = tf.minimum(options.max_new_tokens, self.buffer_length)
        self.uniform_BN = uniforms(options.seed, self.buffer_length, sequence)
        self.process = processor(
            options._replace(max_new_tokens=self.max_new_B),
            rules=rules,
            prompt=prompt,
            end_ids=self.end_ids,
        )

    def start(self, logits: Tensor) -> Decoding:
        """Picks the first token of each row.

        Args:
            logits: float `(B, V)`, at the last token of each prompt. V is known when traced.

        Raises:
            ValueError: the size of the vocabulary is not known when traced, or an id of the rules
                is outside it.
        """
        rows = tf.shape(logits)[0]
        zero_B = tf.zeros_like(self.max_new_B)
        none_BN = tf.zeros([rows, self.buffer_length])
        nothing = Generated(
            token_ids=tf.fill([rows, self.buffer_length], self.pad_id),
            lengths=zero_B,
            reasons=tf.where(self.max_new_B >= 1, RUNNING, int(Reason.LENGTH)),
            log_probs=none_BN,
            processed_log_probs=none_BN,
        )
        return self._advance(Decoding(tf.constant(0), zero_B, nothing), logits)

    def go_on(
        self, decoding: Decoding, cache: Any, num_tokens: int | Tensor | None = None
    ) -> tuple[Decoding, Any]:
        """Picks more tokens.

        Args:
            decoding: of `start`, or of this.
            cache: in which the newest token was not read yet.
            num_tokens: at most so many more, int or int scalar. None: until all rows have ended.

        Returns:
            The decoding and the cache.
        """
        until = self.buffer_length
        if num_tokens is not None:
            until = tf.minimum(until, decoding.count + tf.cast(num_tokens, tf.int32))

        def goes_on(state: Decoding, _: Any) -> Tensor:
            return tf.reduce_any(tf.equal(state.found.reasons, RUNNING)) & (state.count < until)

        def turn(state: Decoding, cache: Any) -> tuple[Decoding, Any]:
            logits_BV, new_cache = self.step(state.last, cache)
            new = self._advance(state, logits_BV)
            return new, tf.nest.map_structure(keep_shape, new_cache, cache)

        return turns(
            goes_on,
            turn,
            decoding,
            cache,
            left=lambda state: until - state.count,
            make_room=self.make_room,
        )

    def _advance(self, state: Decoding, logits: Tensor) -> Decoding:
        raw_BV = tf.cast(logits, tf.float32)
        found = state.found
        # Where a row that has not ended stands, which need not be where the others do: rows of
        # other decodings may have joined. What an ended row takes is not read.
        place_B = tf.minimum(found.lengths, self.buffer_length - 1)
        logits_BV = self.process(raw_BV, found.token_ids, place_B)
        uniform_B = tf.gather(self.uniform_BN, place_B, batch_dims=1)
        token_B, weight_B = pick_and_weigh(logits_BV, uniform_B, self.options)
        running_B = tf.equal(found.reasons, RUNNING)
        ends_B = tf.zeros_like(running_B)
        for end in self.end_ids:
            ends_B |= tf.equal(token_B, end)
        writes_B = running_B & ~ends_B
        here_BN = tf.equal(tf.range(self.buffer_length)[None], place_B[:, None])
        token_ids_BN = tf.where(here_BN & writes_B[:, None], token_B[:, None], found.token_ids)
        lengths_B = found.lengths + tf.cast(writes_B, tf.int32)
        # From the weakest reason to the strongest.
        reasons_B = tf.where(lengths_B >= self.max_new_B, int(Reason.LENGTH), RUNNING)
        if self.should_stop is not None:
            stops_B = self.should_stop(token_ids_BN, lengths_B)
            reasons_B = tf.where(stops_B, int(Reason.STOPPED), reasons_B)
        reasons_B = tf.where(ends_B, int(Reason.END_TOKEN), reasons_B)

        def scored() -> tuple[Tensor, Tensor]:
            model_B = tf.gather(raw_BV, token_B, batch_dims=1) - tf.reduce_logsumexp(raw_BV, -1)
            taken_B = log_probability(logits_BV, token_B, weight_B, self.options)
            is_new_BN = here_BN & running_B[:, None]
            return (
                tf.where(is_new_BN, model_B[:, None], found.log_probs),
                tf.where(is_new_BN, taken_B[:, None], found.processed_log_probs),
            )

        scores = (found.log_probs, found.processed_log_probs)
        if self.scores is not False:
            old = scores
            scores = scored() if self.scores is True else tf.cond(self.scores, scored, lambda: old)
        reasons_B = tf.where(running_B, reasons_B, found.reasons)
        found = Generated(token_ids_BN, lengths_B, reasons_B, *scores)
        new = Decoding(state.count + 1, token_B, found)
        return tf.nest.map_structure(keep_shape, new, state)


def generate(logits: Tensor, cache: Any, step: Step, **asked: Any) -> Generated:
    """Continues each row until it ends; stops when all rows have.

    Args:
        logits: float `(B, V)`, at the last token of each prompt. V is known when traced.
        cache: any nest of tensors whose shapes `step` keeps.
        step: as `Decoder` takes it.
        **asked: the rest of what `Decoder` takes.

    Returns:
        `Generated`.

    Raises:
        ValueError: the size of the vocabulary is not known when traced, or an id of the rules is
            outside it.
    """
    decoder = Decoder(step, **asked)
    # The first token needs no step, so that no step is wasted on the last.
    decoding, _ = decoder.go_on(decoder.start(logits), cache)
    return decoding.found


def as_ids(end_id: int | Sequence[int] | None) -> list[int]:
    """Lists the end tokens."""
    return [] if end_id is None else [int(end) for end in np.atleast_1d(end_id)]


def keep_shape(new: Tensor, old: Tensor) -> Tensor:
    """Gives loop state the static shape that it had, where an operation has lost it."""
    new = tf.convert_to_tensor(new)
    new.set_shape(old.shape)
    return new
