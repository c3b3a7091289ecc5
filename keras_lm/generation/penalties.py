"""Logits of tokens that were written before, lowered.

R rows, L places, V vocabulary.
"""

from typing import Any

import tensorflow as tf

from keras_lm.generation.options import Options

Tensor = Any


def penalize(logits: Tensor, ids: Tensor, seen: Tensor, new: Tensor, options: Options) -> Tensor:
    """Lowers, or raises, the logits of what was written.

    First `repetition_penalty` r (Keskar et al. 2019, arXiv:1909.05858, section 4.1; for negative
    logits as in Transformers): the logit of every token of prompt and continuation is divided by r
    if it is positive and multiplied by r if it is negative. Then, of the continuation's tokens
    alone (OpenAI's definition): `frequency_penalty` times how often the token was written, and once
    `presence_penalty`, are subtracted.

    Args:
        logits: float32 `(R, V)`.
        ids: int32 `(R, L)`.
        seen: bool `(R, L)`, which ids stand in the prompt or the continuation.
        new: bool `(R, L)`, which of them stand in the continuation.
        options: the rows' `Options`. Rows whose three penalties are off keep their logits.

    Returns:
        float32 `(R, V)`.
    """
    vocab_size = logits.shape[-1]

    def column(option: Tensor) -> Tensor:
        return option[:, None]

    def repetition() -> Tensor:
        penalty_R1 = column(options.repetition_penalty)
        lower_RV = tf.where(logits < 0, logits * penalty_R1, logits / penalty_R1)
        # A row that asks for nothing keeps even what arithmetic would change: 0 times infinity.
        asked_RV = (counts(ids, seen, vocab_size) > 0) & tf.not_equal(penalty_R1, 1)
        return tf.where(asked_RV, lower_RV, logits)

    def occurrences(logits_RV: Tensor) -> Tensor:
        count_RV = counts(ids, new, vocab_size)
        present_RV = tf.cast(count_RV > 0, tf.float32)
        logits_RV -= count_RV * column(options.frequency_penalty)
        return logits_RV - present_RV * column(options.presence_penalty)

    repeats = tf.reduce_any(tf.not_equal(options.repetition_penalty, 1))
    logits = tf.cond(repeats, repetition, lambda: logits)
    occurs = tf.reduce_any(
        tf.not_equal(options.frequency_penalty, 0) | tf.not_equal(options.presence_penalty, 0)
    )
    return tf.cond(occurs, lambda: occurrences(logits), lambda: logits)


def penalizes(options: Options) -> Tensor:
    """Tells which rows ask for a penalty, bool `(R,)`."""
    return (
        tf.not_equal(options.repetition_penalty, 1)
        | tf.not_equal(options.presence_penalty, 0)
        | tf.not_equal(options.frequency_penalty, 0)
    )


def counts(ids: Tensor, counted: Tensor, vocab_size: int) -> Tensor:
    """Counts each token of the vocabulary.

    Args:
        ids: int32 `(R, X)`; what is outside the vocabulary is not counted.
        counted: bool `(R, X)`, which of them count.
        vocab_size: V.

    Returns:
        float32 `(R, V)`.
    """
    rows = tf.shape(ids)[0]
    counted &= (ids >= 0) & (ids < vocab_size)
    # Negative segments are dropped.
    segment_RX = tf.where(counted, ids + tf.range(rows)[:, None] * vocab_size, -1)
    flat = tf.math.unsorted_segment_sum(
        tf.ones(tf.size(segment_RX)), tf.reshape(segment_RX, [-1]), rows * vocab_size
    )
    return tf.reshape(flat, [-1, vocab_size])
