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
from keras_lm.generation.sampling import pick_tokens
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


_RUNNING = 0


class Generated(NamedTuple):
    """New tokens, without the prompt.

    Attributes:
        token_ids: int32 `(B, N)`, padded on the right.
        lengths: int32 `(B,)`, tokens of text; end tokens are not counted.
        reasons: int32 `(B,)`, a `Reason`.
    """

    token_ids: Tensor
    lengths: Tensor
    reasons: Tensor


class _State(NamedTuple):
    count: Tensor  # int32 (): tokens picked so far
    last: Tensor  # int32 (B,): the newest of each row
    token_ids: Tensor
    lengths: Tensor
    reasons: Tensor


def generate(
    logits: Tensor,
    cache: Any,
    step: Step,
    *,
    options: Options,
    buffer_length: int | Tensor,
    end_id: int | Sequence[int] | None,
    pad_id: int = 0,
    sequence: Tensor | None = None,
    should_stop: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Generated:
    """Continues each row until it ends; stops when all rows have.

    A row's text is a function of its logits, its options and its sequence number: not of the rows
    beside it. Rows with equal prompts, seeds and sequence numbers give equal text.

    Args:
        logits: float `(B, V)`, at the last token of each prompt. V is known when traced.
        cache: any nest of tensors whose shapes `step` keeps.
        step: takes int32 `(B,)`, the newest token of each row, and the cache; returns the next
            logits `(B, V)` and the cache. It is called at most N - 1 times, and not after the last
            token of the last row. A row that has ended is still stepped, with some token of the
            vocabulary.
        options: the rows' `Options`. A row with `max_new_tokens` below 1 gets no token.
        buffer_length: N, int or int scalar, at least 1. `max_new_tokens` beyond it ends there.
        end_id: the token or tokens that end a text, or None.
        pad_id: fills `token_ids` behind each text; need not be in the vocabulary.
        sequence: int `(B,)`, tells rows with one seed apart, for instance the number of the row
            among several answers to one prompt. None: 0.
        should_stop: called after each token with `token_ids` `(B, N)` and `lengths` `(B,)` so far;
            returns bool `(B,)`, True where the row ends with the token that it has just got.

    Returns:
        `Generated`.

    Raises:
        ValueError: the size of the vocabulary is not known when traced.
    """
    logits = tf.cast(logits, tf.float32)
    end_ids = [] if end_id is None else [int(end) for end in np.atleast_1d(end_id)]
    buffer_length = tf.cast(buffer_length, tf.int32)
    max_new_B = tf.minimum(options.max_new_tokens, buffer_length)
    uniform_BN = uniforms(options.seed, buffer_length, sequence)
    column_1N = tf.range(buffer_length)[None]

    def advance(state: _State, logits_BV: Tensor) -> _State:
        uniform_B = tf.gather(uniform_BN, state.count, axis=1)
        token_B = pick_tokens(logits_BV, uniform_B, options)
        running_B = tf.equal(state.reasons, _RUNNING)
        ends_B = tf.zeros_like(running_B)
        for end in end_ids:
            ends_B |= tf.equal(token_B, end)
        writes_B = running_B & ~ends_B
        here_BN = tf.equal(column_1N, state.count) & writes_B[:, None]
        token_ids_BN = tf.where(here_BN, token_B[:, None], state.token_ids)
        lengths_B = state.lengths + tf.cast(writes_B, tf.int32)
        # From the weakest reason to the strongest.
        reasons_B = tf.where(lengths_B >= max_new_B, int(Reason.LENGTH), _RUNNING)
        if should_stop is not None:
            stops_B = should_stop(token_ids_BN, lengths_B)
            reasons_B = tf.where(stops_B, int(Reason.STOPPED), reasons_B)
        reasons_B = tf.where(ends_B, int(Reason.END_TOKEN), reasons_B)
        reasons_B = tf.where(running_B, reasons_B, state.reasons)
        new = _State(state.count + 1, token_B, token_ids_BN, lengths_B, reasons_B)
        return tf.nest.map_structure(_keep_shape, new, state)

    def goes_on(state: _State, _: Any) -> Tensor:
        running = tf.reduce_any(tf.equal(state.reasons, _RUNNING))
        return running & (state.count < buffer_length)

    def turn(state: _State, cache: Any) -> tuple[_State, Any]:
        logits_BV, new_cache = step(state.last, cache)
        logits_BV = _keep_shape(tf.cast(logits_BV, tf.float32), logits)
        return advance(state, logits_BV), tf.nest.map_structure(_keep_shape, new_cache, cache)

    batch_size = tf.shape(logits)[0]
    zero_B = tf.zeros_like(max_new_B)
    state = _State(
        count=tf.constant(0),
        last=zero_B,
        token_ids=tf.fill([batch_size, buffer_length], pad_id),
        lengths=zero_B,
        reasons=tf.where(max_new_B >= 1, _RUNNING, int(Reason.LENGTH)),
    )
    # The first token needs no step, so that no step is wasted on the last.
    state, _ = tf.while_loop(goes_on, turn, (advance(state, logits), cache), parallel_iterations=1)
    return Generated(state.token_ids, state.lengths, state.reasons)


def _keep_shape(new: Tensor, old: Tensor) -> Tensor:
    """Gives loop state the static shape that it had, where an operation has lost it."""
    new = tf.convert_to_tensor(new)
    new.set_shape(old.shape)
    return new
