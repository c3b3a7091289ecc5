"""Beam search: the likeliest texts, several at once. It knows no model and no text.

Source: Transformers' beam search, whose semantics of length penalty and early stopping these are.
Unlike there a row ends on its own: what it gives does not depend on the rows beside it.

B batch, K beams, R rows of all beams (B x K), C candidates of a row, V vocabulary, N room for new
tokens.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from keras_lm.generation.beam_options import BeamOptions, EarlyStopping
from keras_lm.generation.loop import Reason, Step, as_ids, keep_shape
from keras_lm.generation.options import Options
from keras_lm.generation.processing import Prompt, processor
from keras_lm.generation.rules import Rules
from keras_lm.generation.segments import MakeRoom, turns

Tensor = Any

# The score of a text that is none: beams before they part, texts that have not ended.
NO_TEXT = -1e9


class Beams(NamedTuple):
    """The best finished texts of each row, the best first; without the prompt.

    Attributes:
        token_ids: int32 `(B, K, N)`, padded on the right.
        lengths: int32 `(B, K)`, tokens of text; end tokens are not counted.
        scores: float32 `(B, K)`, the log-probability of the text, of its end token too, divided by
            its length to the power of `length_penalty`; -1e9 where there were less than K texts.
        reasons: int32 `(B, K)`, a `Reason`; 0 where there was no text.
        log_probs: float32 `(B, K, N)`, the log-probability of each token in the softmax of the
            model's own logits; that of an end token stands behind the text. 0 elsewhere.
    """

    token_ids: Tensor
    lengths: Tensor
    scores: Tensor
    reasons: Tensor
    log_probs: Tensor


class _Running(NamedTuple):
    token_ids: Tensor  # int32 (B, K, N)
    scores: Tensor  # float32 (B, K): log-probabilities
    log_probs: Tensor  # float32 (B, K, N)


class _State(NamedTuple):
    count: Tensor  # int32 (): tokens taken so far
    last: Tensor  # int32 (R,): the newest of each beam
    parent: Tensor  # int32 (R,): the beam each one has grown from
    active: Tensor  # bool (B,): the row has not ended
    running: _Running
    finished: Beams


def repeat_rows(cache: Any, num_beams: int) -> Any:
    """Gives each beam a copy of its row: what was B rows becomes B x `num_beams`."""
    first = tf.nest.flatten(cache)[0]
    # Once for the whole cache: tf.repeat is twenty operations.
    row_R = tf.repeat(tf.range(tf.shape(first)[0]), num_beams)
    size = first.shape[0]
    row_R.set_shape([None if size is None else size * num_beams])
    return gather_rows(cache, row_R)


def gather_rows(cache: Any, rows: Tensor) -> Any:
    """Takes rows of every tensor of a cache; `rows`: int32 `(R,)`."""
    return tf.nest.map_structure(lambda x: tf.gather(x, rows), cache)


def beam_search(
    logits: Tensor,
    cache: Any,
    step: Step,
    *,
    num_beams: int,
    options: Options,
    beam_options: BeamOptions,
    buffer_length: int | Tensor,
    end_id: int | Sequence[int] | None,
    pad_id: int = 0,
    should_stop: Callable[[Tensor, Tensor], Tensor] | None = None,
    prompt: Prompt | None = None,
    rules: Rules | None = None,
    repeat: Callable[[Any, int], Any] = repeat_rows,
    reorder: Callable[[Any, Tensor], Any] = gather_rows,
    make_room: MakeRoom | None = None,
) -> Beams:
    """Looks for the K likeliest texts of each row.

    Args:
        logits: float `(B, V)`, at the last token of each prompt. V is known when traced.
        cache: of B rows, any nest of tensors.
        step: takes int32 `(R,)`, the newest token of each beam, those of a row together, and a
            cache of R rows; returns the next logits, float `(R, V)`, and the cache in the same
            shapes. It is called at most N - 1 times.
        num_beams: K, at least 1.
        options: the rows' `Options`; what says how to draw is not read.
        beam_options: the rows' `BeamOptions`.
        buffer_length: N, int or int scalar, at least 1. `max_new_tokens` beyond it ends there.
        end_id: the token or tokens that end a text, or None.
        pad_id: fills `token_ids` behind each text; need not be in the vocabulary.
        should_stop: called at each step with candidates, `token_ids` `(B x C, N)` and `lengths` `(B
            x C,)`; returns bool `(B x C,)`, True where the text ends with its last token.
        prompt: of the B rows; see `Decoder`.
        rules: `Rules` for all rows, or None.
        repeat: makes the cache of R rows of that of B rows; called once.
        reorder: gives each row r of a cache what row `rows[r]`, a beam of the same text, holds;
            called where beams have changed their places. What does not differ among the beams of a
            row need not be moved.
        make_room: lets a cache grow, see `segments.turns`. None: it has room for N - 1 positions.

    Returns:
        `Beams`.

    Raises:
        ValueError: `num_beams` is not positive; the size of the vocabulary is not known when traced
            or smaller than `num_beams`; an id of the rules is outside it.
    """
    if num_beams < 1:
        raise ValueError(f"num_beams must be positive. Received: num_beams={num_beams}")
    vocab_size = logits.shape[-1]  # a tensor's or an array's
    if vocab_size is None or vocab_size < num_beams:
        raise ValueError(
            f"logits must be (batch, vocabulary of known size, at least num_beams={num_beams}). "
            f"Received: {logits.shape}"
        )
    search = _Search(
        num_beams, options, beam_options, buffer_length, end_id, pad_id, should_stop, prompt, rules
    )

    def goes_on(state: _State, _: Any) -> Tensor:
        return tf.reduce_any(state.active)

    def turn(state: _State, cache: Any) -> tuple[_State, Any]:
        moved = tf.reduce_any(tf.not_equal(state.parent, tf.range(tf.size(state.parent))))
        in_place = tf.cond(moved, lambda: reorder(cache, state.parent), lambda: cache)
        logits_RV, new_cache = step(state.last, in_place)
        new = search.advance(state, logits_RV)
        return new, tf.nest.map_structure(keep_shape, new_cache, cache)

    first = search.advance(search.beginning(), repeat_rows(tf.convert_to_tensor(logits), num_beams))
    # So far all beams of a row hold the same.
    first = first._replace(parent=tf.range(tf.size(first.parent)))
    state, _ = turns(
        goes_on,
        turn,
        first,
        repeat(cache, num_beams),
        left=lambda state: search.buffer_length - state.count,
        make_room=make_room,
    )
    return search.texts(state.finished)


class _Search:
    """What stays the same from step to step."""

    def __init__(
        self,
        num_beams: int,
        options: Options,
        beam_options: BeamOptions,
        buffer_length: int | Tensor,
        end_id: int | Sequence[int] | None,
        pad_id: int,
        should_stop: Callable[[Tensor, Tensor], Tensor] | None,
        prompt: Prompt | None,
        rules: Rules | None,
    ) -> None:
        self.num_beams, self.beam_options = num_beams, beam_options
        self.pad_id, self.should_stop = pad_id, should_stop
        self.end_ids = as_ids(end_id)
        self.buffer_length = tf.cast(buffer_length, tf.int32)
        self.max_new_B = tf.minimum(options.max_new_tokens, self.buffer_length)
        of_rows = options._replace(max_new_tokens=self.max_new_B)
        self.process = processor(
            Options(*repeat_rows(list(of_rows), num_beams)),
            rules=rules,
            prompt=None if prompt is None else Prompt(*repeat_rows(list(prompt), num_beams)),
            end_ids=self.end_ids,
        )

    def beginning(self) -> _State:
        """The state before the first token."""
        batch_size, num_beams = tf.size(self.max_new_B), self.num_beams
        zero_BK = tf.zeros([batch_size, num_beams])
        number_BK = tf.zeros([batch_size, num_beams], tf.int32)
        pads_BKN = tf.fill([batch_size, num_beams, self.buffer_length], self.pad_id)
        zero_BKN = tf.zeros_like(pads_BKN, tf.float32)
        # Equal beams would take equal tokens; the others wait until the first has several.
        apart_BK = zero_BK + tf.constant([0.0] + [NO_TEXT] * (num_beams - 1))
        zero_R = tf.zeros([batch_size * num_beams], tf.int32)
        return _State(
            count=tf.constant(0),
            last=zero_R,
            parent=zero_R,
            active=self.max_new_B >= 1,
            running=_Running(pads_BKN, apart_BK, zero_BKN),
            finished=Beams(pads_BKN, number_BK, zero_BK + NO_TEXT, number_BK, zero_BKN),
        )

    def advance(self, state: _State, logits: Tensor) -> _State:
        """Takes the next token of each beam."""
        parent_BC, token_BC, score_BC, log_prob_BC = self._candidates(state, logits)
        ends_BC = tf.zeros_like(token_BC, "bool")
        for end in self.end_ids:
            ends_BC |= tf.equal(token_BC, end)
        place_N = tf.range(self.buffer_length)
        here_N = tf.equal(place_N, state.count)
        token_ids_BCN = tf.gather(state.running.token_ids, parent_BC, batch_dims=1)
        writes_BCN = here_N & ~ends_BC[:, :, None]
        token_ids_BCN = tf.where(writes_BCN, token_BC[:, :, None], token_ids_BCN)
        log_probs_BCN = tf.gather(state.running.log_probs, parent_BC, batch_dims=1)
        log_probs_BCN = tf.where(here_N, log_prob_BC[:, :, None], log_probs_BCN)

        lengths_BC = state.count + tf.cast(~ends_BC, tf.int32)
        reasons_BC = self._reasons(state, token_ids_BCN, lengths_BC, ends_BC)
        hits_BC = reasons_BC > 0
        candidates = _Running(token_ids_BCN, score_BC, log_probs_BCN)
        running, chosen_BK = self._next(candidates, hits_BC)
        finished = self._finish(
            state, Beams(token_ids_BCN, lengths_BC, score_BC, reasons_BC, log_probs_BCN)
        )
        count = state.count + 1
        goes_on_B = self._may_improve(count, running.scores, finished) & ~tf.reduce_all(hits_BC, -1)
        full_B = tf.reduce_all(finished.reasons > 0, -1)
        goes_on_B &= ~(full_B & tf.equal(self.beam_options.early_stopping, EarlyStopping.YES))

        rows = tf.range(tf.size(state.active))[:, None]
        own_BK = tf.range(self.num_beams)[None] + tf.zeros_like(rows)
        parent_BK = tf.gather(parent_BC, chosen_BK, batch_dims=1)
        # The beams of a row that has ended stay where they are.
        parent_BK = tf.where(state.active[:, None], parent_BK, own_BK) + rows * self.num_beams
        last_BK = tf.gather(token_BC, chosen_BK, batch_dims=1)
        new = _State(
            count=count,
            last=tf.reshape(last_BK, [-1]),
            parent=tf.reshape(parent_BK, [-1]),
            active=state.active & goes_on_B,
            running=running,
            finished=_where_rows(state.active, finished, state.finished),
        )
        return tf.nest.map_structure(keep_shape, new, state)

    def texts(self, finished: Beams) -> Beams:
        """What is found, without what has not ended."""
        none_BK = tf.equal(finished.reasons, 0)
        return Beams(
            tf.where(none_BK[:, :, None], self.pad_id, finished.token_ids),
            tf.where(none_BK, 0, finished.lengths),
            tf.where(none_BK, NO_TEXT, finished.scores),
            finished.reasons,
            tf.where(none_BK[:, :, None], 0.0, finished.log_probs),
        )

    def _candidates(self, state: _State, logits: Tensor) -> tuple[Tensor, ...]:
        """The C likeliest continuations of each row: beam, token, score, and model's log-prob."""
        model_RV = tf.nn.log_softmax(tf.cast(logits, tf.float32))
        vocab_size = model_RV.shape[-1]
        written_RN = tf.reshape(state.running.token_ids, [-1, self.buffer_length])
        log_prob_RV = self.process(model_RV, written_RN, state.count)
        # One continuation of each beam for each end token, and one that goes on.
        wanted = max(2, 1 + len(self.end_ids)) * self.num_beams
        of_beam = min(wanted, vocab_size)
        value_RX, token_RX = tf.math.top_k(log_prob_RV, of_beam)
        value_BKX = tf.reshape(value_RX, [-1, self.num_beams, of_beam])
        value_BKX += state.running.scores[:, :, None]
        flat = [-1, self.num_beams * of_beam]
        score_BC, index_BC = tf.math.top_k(
            tf.reshape(value_BKX, flat), min(wanted, self.num_beams * of_beam)
        )
        parent_BC = index_BC // of_beam
        token_BC = tf.gather(tf.reshape(token_RX, flat), index_BC, batch_dims=1)
        model_BKV = tf.reshape(model_RV, [-1, self.num_beams * vocab_size])
        log_prob_BC = tf.gather(model_BKV, parent_BC * vocab_size + token_BC, batch_dims=1)
        return parent_BC, token_BC, score_BC, log_prob_BC

    def _reasons(
        self, state: _State, token_ids_BCN: Tensor, lengths_BC: Tensor, ends_BC: Tensor
    ) -> Tensor:
        """Why candidates end, a `Reason`, or 0."""
        full_BC = (state.count + 1 >= self.max_new_B)[:, None] & tf.ones_like(ends_BC)
        reasons_BC = tf.where(full_BC, int(Reason.LENGTH), 0)
        if self.should_stop is not None:
            texts = tf.reshape(token_ids_BCN, [-1, self.buffer_length])
            stops = self.should_stop(texts, tf.reshape(lengths_BC, [-1]))
            stops_BC = tf.reshape(stops, tf.shape(ends_BC))
            reasons_BC = tf.where(stops_BC, int(Reason.STOPPED), reasons_BC)
        return tf.where(ends_BC, int(Reason.END_TOKEN), reasons_BC)

    def _next(self, candidates: _Running, hits_BC: Tensor) -> tuple[_Running, Tensor]:
        """The K best candidates that go on, and which they are."""
        score_BC = candidates.scores + tf.cast(hits_BC, tf.float32) * NO_TEXT
        score_BK, chosen_BK = tf.math.top_k(score_BC, self.num_beams)
        taken = _take(candidates, chosen_BK)
        return taken._replace(scores=score_BK), chosen_BK

    def _finish(self, state: _State, candidates: Beams) -> Beams:
        """The K best texts of those that had ended and those that end now."""
        # What is not among the K best candidates was looked at so that beams can go on.
        best = tf.range(candidates.scores.shape[1]) < self.num_beams
        ends_BC = (candidates.reasons > 0) & best
        length = tf.cast(state.count + 1, tf.float32)
        score_BC = candidates.scores / self._scale(length)[:, None]
        score_BC += tf.cast(~ends_BC, tf.float32) * NO_TEXT
        candidates = candidates._replace(
            scores=score_BC, reasons=tf.where(ends_BC, candidates.reasons, 0)
        )
        both = [
            tf.concat([old, new], 1) for old, new in zip(state.finished, candidates, strict=True)
        ]
        score_BK, chosen_BK = tf.math.top_k(Beams(*both).scores, self.num_beams)
        return _take(Beams(*both), chosen_BK)._replace(scores=score_BK)

    def _may_improve(self, count: Tensor, running_BK: Tensor, finished: Beams) -> Tensor:
        """Whether a running text could still get among the finished: bool `(B,)`.

        A guess from the likeliest one; with a length penalty above 0 a safe one only where
        `early_stopping` is `NEVER`.
        """
        options = self.beam_options
        farthest_B = tf.equal(options.early_stopping, EarlyStopping.NEVER)
        farthest_B &= options.length_penalty > 0
        length_B = tf.cast(tf.where(farthest_B, self.max_new_B, count), tf.float32)
        possible_B = running_BK[:, 0] / self._scale(length_B)
        # A place without a text can always be had.
        full_B = tf.reduce_all(finished.reasons > 0, -1)
        worst_B = tf.where(full_B, tf.reduce_min(finished.scores, -1), NO_TEXT)
        return possible_B > worst_B

    def _scale(self, length: Tensor) -> Tensor:
        return tf.pow(length, self.beam_options.length_penalty)


def _take(texts: Any, chosen_BK: Tensor) -> Any:
    return type(texts)(*(tf.gather(x, chosen_BK, batch_dims=1) for x in texts))


def _where_rows(rows_B: Tensor, new: Beams, old: Beams) -> Beams:
    def pick(one: Tensor, other: Tensor) -> Tensor:
        return tf.where(tf.reshape(rows_B, [-1] + [1] * (len(one.shape) - 1)), one, other)

    return Beams(*map(pick, new, old))
