"""Where cheap guesses at the next tokens come from: the text so far, or a smaller model.

R rows, T length of the longest prompt, N room for new tokens, L = T + N, K proposals, V vocabulary.
"""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from keras_lm.generation.loop import Decoder, Generated, keep_shape
from keras_lm.generation.processing import Prompt, joined_index, processor
from keras_lm.generation.sampling import pick_tokens
from keras_lm.generation.threefry import uniforms

Tensor = Any
Read = Callable[[Tensor, Any], tuple[Tensor, Any]]
Rewind = Callable[[Any, Tensor, Tensor], Any]

# Which of a row's independent random numbers of each step a draft draws with; 0 is the model's.
_STREAM = 1
# Tokens, see `PromptLookup`.
_LONGEST_REST = 15


class Proposal(NamedTuple):
    """What may come next.

    Attributes:
        token_ids: int32 `(R, K)`, within the vocabulary.
        counts: int32 `(R,)`, how many of them are meant; what stands behind is read for nothing.
        logits: float32 `(R, K, V)`, what each was taken or drawn from, by the row's options; or
            None: they were not drawn.
    """

    token_ids: Tensor
    counts: Tensor
    logits: Tensor | None


def write_at(buffer: Tensor, new: Tensor, first: Tensor, counts: Tensor) -> Tensor:
    """Writes so many values of each row into its buffer, each row at its own place.

    Args:
        buffer: `(R, N)`.
        new: `(R, K)`, K at least 1.
        first: int32 `(R,)`, where the first goes.
        counts: int32 `(R,)`, how many are written; what would go beyond the buffer is not.

    Returns:
        `(R, N)`.
    """
    index_RN = tf.range(tf.shape(buffer)[1])[None] - first[:, None]
    inside_RN = (index_RN >= 0) & (index_RN < counts[:, None])
    index_RN = tf.clip_by_value(index_RN, 0, tf.shape(new)[1] - 1)
    return tf.where(inside_RN, tf.gather(new, index_RN, batch_dims=1), buffer)


class Proposer(abc.ABC):
    """Proposes tokens; what it must remember is its cache, any nest of tensors.

    Attributes:
        num_tokens: K, how many at most.
    """

    num_tokens: int

    @abc.abstractmethod
    def propose(self, found: Generated, newest: Tensor, cache: Any) -> tuple[Proposal, Any]:
        """Proposes what follows.

        Args:
            found: the new tokens so far. A row that has ended may be proposed anything.
            newest: int32 `(R, 2)`, the two newest tokens of prompt and text.
            cache: of this proposer.
        """

    @abc.abstractmethod
    def settle(self, cache: Any, proposal: Proposal, taken: Tensor) -> Any:
        """Learns how many tokens each row has got, int32 `(R,)`; 0 if it had ended."""


class LookupState(NamedTuple):
    """What prompt lookup remembers of each row.

    Attributes:
        room: int32 `(R,)`, how many tokens it is proposed next, 1 .. K.
        rest: int32 `(R,)`, for how many tokens it is proposed none before that.
        pause: int32 `(R,)`, how long it rests if nothing of what it is proposed next is accepted.
    """

    room: Tensor
    rest: Tensor
    pause: Tensor


class PromptLookup(Proposer):
    """Proposes what followed the last tokens where they stood before.

    Source: Saxena 2023, "Prompt lookup decoding". What matches for longest wins, then what stands
    nearest to the end; where less than K tokens have followed so far, they are repeated.

    To read what is refused costs time. So a row is proposed one token more than it accepted the
    last time, or twice as many if that were all; and if it accepted none several times in a row, it
    is proposed none for the next 1, 3, 7 and then 15 tokens, until it accepts one.

    Its cache, of `begin`, is a `LookupState`.

    Args:
        decoder: of the rows, with a prompt.
        num_tokens: K, at least 1.
        max_ngram: so many of the last tokens are compared at most.
        min_ngram: so many must be equal.
    """

    def __init__(
        self, decoder: Decoder, num_tokens: int, *, max_ngram: int = 4, min_ngram: int = 2
    ) -> None:
        prompt = required_prompt(decoder)
        self.lengths, self.max_new_R = prompt.lengths, decoder.max_new_B
        self.num_tokens, self.min_ngram = num_tokens, min_ngram
        # What is the same in every pass is made here, outside of the loop.
        index_RL = joined_index(prompt, decoder.buffer_length)
        self.prompt_ids, self.index_RL = prompt.token_ids, index_RL
        self.place_1L = tf.range(tf.shape(index_RL)[1])[None]
        self.back_G = tf.range(max_ngram)
        # Before the first token there is none that is equal to any.
        self.before_RG = tf.fill([tf.shape(index_RL)[0], max_ngram], -1)
        self.window_LG = self.place_1L[0][:, None] - self.back_G + max_ngram

    def begin(self) -> LookupState:
        """Gives the cache to begin with."""
        none_R = tf.zeros_like(self.lengths)
        return LookupState(none_R + self.num_tokens, none_R, none_R)

    def propose(self, found: Generated, newest: Tensor, cache: Any) -> tuple[Proposal, Any]:
        """Looks; proposes no more tokens than the row with most can use, be it none."""
        # A pass gives one token that need not be proposed.
        room_R = tf.minimum(self.max_new_R - found.lengths - 1, cache.room)
        looks_R = tf.equal(found.reasons, 0) & tf.equal(cache.rest, 0)
        room_R = tf.where(looks_R, tf.maximum(room_R, 0), 0)
        none_R = tf.zeros_like(room_R)
        token_ids_RK, count_R = tf.cond(
            tf.reduce_any(room_R > 0),
            lambda: self._look(found, room_R),
            lambda: (none_R[:, None][:, :0], none_R),
        )
        return Proposal(token_ids_RK, count_R, None), cache

    def _look(self, found: Generated, room_R: Tensor) -> tuple[Tensor, Tensor]:
        """Finds what each row is proposed, and how much of it."""
        both_RL = tf.concat([self.prompt_ids, found.token_ids], 1)
        ids_RL = tf.gather(both_RL, self.index_RL, batch_dims=1)
        last_R1 = (self.lengths + found.lengths)[:, None] - 1
        # The tokens up to each place, the newest first, and those up to the last place.
        padded_RX = tf.concat([self.before_RG, ids_RL], 1)
        up_to_RLG = tf.gather(padded_RX, self.window_LG, axis=1)
        end_RG = tf.gather(ids_RL, tf.maximum(last_R1 - self.back_G, 0), batch_dims=1)
        equal_RLG = tf.cast(tf.equal(up_to_RLG, end_RG[:, None]), tf.int32)
        match_RL = tf.reduce_sum(tf.math.cumprod(equal_RLG, axis=2), 2)
        match_RL = tf.where(self.place_1L < last_R1, match_RL, 0)
        best_R = tf.argmax(
            match_RL * tf.size(self.place_1L) + self.place_1L, -1, output_type=tf.int32
        )
        enough_R = tf.gather(match_RL, best_R, batch_dims=1) >= self.min_ngram
        count_R = tf.where(enough_R, room_R, 0)
        behind_K = tf.range(tf.reduce_max(tf.concat([count_R, [0]], 0)))
        period_R1 = tf.maximum(last_R1 - best_R[:, None], 1)
        index_RK = best_R[:, None] + 1 + behind_K[None] % period_R1
        index_RK = tf.minimum(index_RK, tf.maximum(last_R1, 0))
        return tf.gather(ids_RL, index_RK, batch_dims=1), count_R

    def settle(self, cache: Any, proposal: Proposal, taken: Tensor) -> Any:
        """Proposes less where less was accepted, and less often where nothing was."""
        proposed_R, accepted_R = proposal.counts > 0, tf.maximum(taken - 1, 0)
        refused_R = proposed_R & tf.equal(accepted_R, 0)
        room_R = tf.where(accepted_R < proposal.counts, accepted_R + 1, 2 * proposal.counts)
        longer_R = tf.where(refused_R, tf.minimum(2 * cache.pause + 1, _LONGEST_REST), 0)
        return LookupState(
            room=tf.where(proposed_R, tf.minimum(room_R, self.num_tokens), cache.room),
            rest=tf.where(refused_R, cache.pause, tf.maximum(cache.rest - taken, 0)),
            pause=tf.where(proposed_R, longer_R, cache.pause),
        )


class Draft(Proposer):
    """Proposes what a smaller model takes or draws, by the same options.

    Source: Leviathan et al. 2023, arXiv:2211.17192, section 2.3; Chen et al. 2023,
    arXiv:2302.01318.

    Its cache is that of the smaller model, which has read all of each row but its two newest
    tokens: the last proposal, if it is accepted, was not read.

    Args:
        decoder: of the rows, with a prompt.
        read: of the smaller model, as `Speculator` takes it.
        rewind: see there.
        num_tokens: K, at least 1.
    """

    def __init__(self, decoder: Decoder, read: Read, rewind: Rewind, num_tokens: int) -> None:
        self.read, self.rewind, self.num_tokens = read, rewind, num_tokens
        self.options = decoder.options
        self.uniform_RN = uniforms(
            decoder.options.seed, decoder.buffer_length, decoder.sequence, stream=_STREAM
        )
        self.process = processor(
            decoder.options._replace(max_new_tokens=decoder.max_new_B),
            rules=decoder.rules,
            prompt=required_prompt(decoder),
            end_ids=decoder.end_ids,
        )

    def begin(self, cache: Any) -> Any:
        """Gives the cache to begin with, from one that has read the prompts, and no more."""
        rows = tf.shape(self.uniform_RN)[0]
        return self.rewind(cache, tf.ones([rows], tf.int32), tf.constant(True))

    def propose(self, found: Generated, newest: Tensor, cache: Any) -> tuple[Proposal, Any]:
        """Runs the smaller model K times."""
        logits_R2V, cache = self.read(newest, cache)
        last = tf.shape(found.token_ids)[1] - 1

        def take(i: Tensor, raw_RV: Tensor, ids_RN: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            place_R = tf.minimum(found.lengths + i, last)
            logits_RV = self.process(tf.cast(raw_RV, tf.float32), ids_RN, place_R)
            uniform_R = tf.gather(self.uniform_RN, place_R, batch_dims=1)
            token_R = pick_tokens(logits_RV, uniform_R, self.options)
            ids_RN = write_at(ids_RN, token_R[:, None], place_R, tf.ones_like(place_R))
            return token_R, logits_RV, ids_RN

        token_R, logits_RV, ids_RN = take(tf.constant(0), logits_R2V[:, -1], found.token_ids)
        tokens_KR = tf.TensorArray(tf.int32, self.num_tokens, element_shape=[None])
        taken_from_KRV = tf.TensorArray(
            tf.float32, self.num_tokens, element_shape=[None, logits_RV.shape[-1]]
        )
        start = (
            tf.constant(1),
            token_R,
            ids_RN,
            tokens_KR.write(0, token_R),
            taken_from_KRV.write(0, logits_RV),
            cache,
        )

        def turn(i: Any, token: Any, ids: Any, tokens: Any, taken_from: Any, old: Any) -> Any:
            raw_R1V, new = self.read(token[:, None], old)
            token, logits_RV, ids = take(i, raw_R1V[:, 0], ids)
            new = tf.nest.map_structure(keep_shape, new, old)
            return i + 1, token, ids, tokens.write(i, token), taken_from.write(i, logits_RV), new

        *_, tokens_KR, taken_from_KRV, cache = tf.while_loop(
            lambda i, *_: i < self.num_tokens, turn, start, parallel_iterations=1
        )
        token_ids_RK = tf.transpose(tokens_KR.stack())
        token_ids_RK.set_shape([None, self.num_tokens])
        logits_RKV = tf.transpose(taken_from_KRV.stack(), [1, 0, 2])
        count_R = tf.fill(tf.shape(found.lengths), self.num_tokens)
        return Proposal(token_ids_RK, count_R, logits_RKV), cache

    def settle(self, cache: Any, proposal: Proposal, taken: Tensor) -> Any:
        """Takes back what was read too far: K + 1 tokens were read."""
        finite = tf.reduce_all(finite_rows(proposal.logits))
        return self.rewind(cache, self.num_tokens + 1 - taken, finite)


def finite_rows(logits: Tensor) -> Tensor:
    """Tells which rows of logits, `(R, T, V)`, come of finite numbers alone: bool `(R,)`.

    Minus infinity forbids a token.
    """
    return tf.reduce_all(tf.math.is_finite(tf.reduce_max(logits, -1)), -1)


def required_prompt(decoder: Decoder) -> Prompt:
    """Returns the prompt of the rows.

    Raises:
        ValueError: the decoder has none.
    """
    if decoder.prompt is None:
        raise ValueError("Proposals need a Decoder with a prompt. Received: prompt=None")
    return decoder.prompt
