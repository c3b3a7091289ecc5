"""Which tokens of a row are masked: tokens, whole words or spans, drawn in the graph.

A row's words are numbered from 0; special tokens and padding are words without a token that may be
masked. B batch, T length, W = T a bound of the number of words, S spans of a row at most.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.data.draws import from_shares, split, uniform

Tensor = Any

_SPAN_ENDS, _LONGEST_SPAN = 0.2, 10
# Of 1 word, 2 words, ...
_SPAN_SHARES = _SPAN_ENDS * (1 - _SPAN_ENDS) ** np.arange(_LONGEST_SPAN)


def choose_tokens(maskable: Tensor, budget: Tensor, seed: Tensor) -> Tensor:
    """Chooses `budget` `(B,)` of the `maskable` `(B, T)` tokens: bool `(B, T)`."""
    score_BT = tf.where(maskable, uniform(tf.shape(maskable), seed), -1.0)
    return places(score_BT) < budget[:, None]


def choose_words(word: Tensor, maskable: Tensor, budget: Tensor, seed: Tensor) -> Tensor:
    """Chooses whole words of `budget` `(B,)` tokens at most: bool `(B, T)`.

    Words are numbered `(B, T)`; W = T is a bound of their number.
    """
    size_BW = _word_sizes(word, maskable)
    score_BW = tf.where(size_BW > 0, uniform(tf.shape(word), seed), -1.0)
    place_BW = places(score_BW)
    order_BW = tf.argsort(place_BW, -1)
    size_BO = tf.gather(size_BW, order_BW, batch_dims=1)  # O: the words in the order drawn

    # Walks down the order, passing over words that no longer fit. Each turn takes all words up to
    # the next one that does not fit, so a few turns do.
    def fits(taken_BO: Tensor) -> tuple[Tensor, Tensor]:
        room_B1 = budget[:, None] - tf.reduce_sum(tf.where(taken_BO, size_BO, 0), -1, keepdims=True)
        return ~taken_BO & (size_BO > 0) & (size_BO <= room_B1), room_B1

    def turn(taken_BO: Tensor) -> tuple[Tensor]:
        fits_BO, room_B1 = fits(taken_BO)
        total_BO = tf.cumsum(tf.where(fits_BO, size_BO, 0), -1)
        return (taken_BO | (fits_BO & (total_BO <= room_B1)),)

    (taken_BO,) = tf.while_loop(
        lambda taken_BO: tf.reduce_any(fits(taken_BO)[0]),
        turn,
        (tf.zeros_like(size_BO, tf.bool),),
    )
    # Nothing fits: the first word of the order, as far as the budget goes.
    first_O = tf.range(word.shape[-1]) == 0
    taken_BO |= first_O & ~tf.reduce_any(taken_BO, -1, keepdims=True)

    taken_BW = tf.gather(taken_BO, place_BW, batch_dims=1)
    return _within(budget, tf.gather(taken_BW, word, batch_dims=1) & maskable)


def choose_spans(
    word: Tensor, maskable: Tensor, budget: Tensor, seed: Tensor, num_spans: int
) -> tuple[Tensor, Tensor]:
    """Chooses spans of whole words, `budget` `(B,)` tokens at most.

    One after the other, each as many words long as a geometric draw says (p = 0.2, at most 10, so
    3.8 on average) from a word on that is drawn uniformly from those that are not masked yet and
    fit. A span passes over what is masked already, and ends at a special token and before a word
    that does not fit. Where no word fits at all, one is masked as far as the budget goes.
    Source: Joshi et al. 2020, arXiv:1907.10529, section 3.1.

    Args:
        word: number of each token's word, int32 `(B, T)`.
        maskable: bool `(B, T)`.
        budget: int32 `(B,)`.
        seed: int64 `(2,)`.
        num_spans: S, at least the highest budget.

    Returns:
        bool `(B, T)`, and the number of each chosen token's span, int32 `(B, T)`, below S.
    """
    seed_start, seed_length = split(seed, 2)
    size_BW = _word_sizes(word, maskable)
    draw_BS = uniform([tf.shape(word)[0], num_spans], seed_start)
    length_BS = 1 + from_shares(_SPAN_SHARES, tf.shape(draw_BS), seed_length)

    def starts(span_BW: Tensor) -> tuple[Tensor, Tensor]:
        used_B1 = tf.reduce_sum(tf.where(span_BW >= 0, size_BW, 0), -1, keepdims=True)
        room_B1 = budget[:, None] - used_B1
        return (span_BW < 0) & (size_BW > 0) & (size_BW <= room_B1), room_B1

    def drawn(from_BW: Tensor, draw_B: Tensor) -> Tensor:
        """One of the words of each row, where it has one: bool `(B, W)`."""
        rank_BW = tf.cumsum(tf.cast(from_BW, tf.int32), -1) - 1
        number_B1 = rank_BW[:, -1:] + 1
        pick_B1 = tf.cast(draw_B[:, None] * tf.cast(number_B1, tf.float32), tf.int32)
        return from_BW & (rank_BW == tf.minimum(pick_B1, number_B1 - 1))

    def turn(span: Tensor, span_BW: Tensor) -> tuple[Tensor, Tensor]:
        start_BW, room_B1 = starts(span_BW)
        start_BW = drawn(start_BW, draw_BS[:, span])
        since_BW = tf.cumsum(tf.cast(start_BW, tf.int32), -1)
        # Words from the start on, 1 for the start itself.
        within_BW = tf.cumsum(since_BW, -1)
        within_BW = (within_BW > 0) & (within_BW <= length_BS[:, span, None])
        special_BW = tf.cumsum(tf.cast(within_BW & (size_BW == 0), tf.int32), -1) > 0
        taken_BW = within_BW & ~special_BW & (span_BW < 0)
        taken_BW &= tf.cumsum(tf.where(taken_BW, size_BW, 0), -1) <= room_B1
        return span + 1, tf.where(taken_BW, span, span_BW)

    # Each turn masks a token at least in each row that has room, so there are S turns at most.
    _, span_BW = tf.while_loop(
        lambda span, span_BW: (span < num_spans) & tf.reduce_any(starts(span_BW)[0]),
        turn,
        (tf.constant(0), tf.fill(tf.shape(word), -1)),
    )
    empty_B1 = ~tf.reduce_any(span_BW >= 0, -1, keepdims=True)
    span_BW = tf.where(empty_B1 & drawn(size_BW > 0, draw_BS[:, 0]), 0, span_BW)
    span_BT = tf.gather(span_BW, word, batch_dims=1)
    return _within(budget, (span_BT >= 0) & maskable), span_BT


def places(score: Tensor) -> Tensor:
    """The place of each score in its row, 0 for the highest: int32 of the same shape."""
    order = tf.argsort(score, -1, "DESCENDING", stable=True)
    return tf.argsort(order, -1)


def _word_sizes(word: Tensor, maskable: Tensor) -> Tensor:
    """How many tokens of each word may be masked: int32 `(B, W)`."""
    B, T = tf.shape(word)[0], word.shape[-1]
    flat_BT = word + tf.range(B)[:, None] * T
    size_BW = tf.math.unsorted_segment_sum(tf.cast(maskable, tf.int32), flat_BT, B * T)
    return tf.reshape(size_BW, [B, T])


def _within(budget: Tensor, chosen: Tensor) -> Tensor:
    """The first `budget` `(B,)` of what is chosen: bool `(B, T)`."""
    return chosen & (tf.cumsum(tf.cast(chosen, tf.int32), -1) <= budget[:, None])
