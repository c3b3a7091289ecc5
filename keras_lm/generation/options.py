"""What may be asked of each row, checked in Python and clamped in an export.

Every option is a tensor with one value for each row: rows of one batch may ask for different
things, and other values never retrace a graph.

B batch.
"""

import enum
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_lm.generation.option_checks import numbers, whole_numbers

Tensor = Any


class Options(NamedTuple):
    """One value for each row.

    Attributes:
        temperature: float32 `(B,)`; 0 takes the likeliest token.
        top_k: int32 `(B,)`; draw from the `k` likeliest tokens. 0 is off.
        top_p: float32 `(B,)`; draw from the likeliest tokens that together hold this share; 1 is
            off.
        seed: int64 `(B,)`.
        max_new_tokens: int32 `(B,)`.
        min_p: float32 `(B,)`; draw from the tokens at least this many times as likely as the
            likeliest; 0 is off.
        repetition_penalty: float32 `(B,)`, see `keras_lm.generation.penalties`; 1 is off.
        presence_penalty: float32 `(B,)`, see there; 0 is off.
        frequency_penalty: float32 `(B,)`, see there; 0 is off.
        min_new_tokens: int32 `(B,)`; so many tokens come before an end token; 0 is off.
    """

    temperature: Tensor
    top_k: Tensor
    top_p: Tensor
    seed: Tensor
    max_new_tokens: Tensor
    min_p: Tensor
    repetition_penalty: Tensor
    presence_penalty: Tensor
    frequency_penalty: Tensor
    min_new_tokens: Tensor


# What each tensor holds, for the signature of a graph.
OPTION_DTYPES = Options(
    temperature="float32",
    top_k="int32",
    top_p="float32",
    seed="int64",
    max_new_tokens="int32",
    min_p="float32",
    repetition_penalty="float32",
    presence_penalty="float32",
    frequency_penalty="float32",
    min_new_tokens="int32",
)


class Status(enum.IntFlag):
    """What `clamp_options` and `clamp_beam_options` changed, as the bits of a number.

    0: the row runs as asked.

    | bit | option | was | became |
    |---|---|---|---|
    | 1 | temperature | negative or NaN | 0 |
    | 1 | temperature | infinite | the largest float32 |
    | 2 | top_k | negative | 0, off |
    | 4 | top_p | 0 or less | the smallest float32, which keeps the likeliest token |
    | 4 | top_p | above 1 or NaN | 1, off |
    | 8 | max_new_tokens | below 1 | 1 |
    | 8 | max_new_tokens | above the limit | the limit |
    | 64 | min_p | negative or NaN | 0, off |
    | 64 | min_p | above 1 | 1, which keeps the likeliest token |
    | 128 | repetition_penalty | 0 or less, or NaN | 1, off |
    | 128 | repetition_penalty | infinite | the largest float32 |
    | 256 | presence_penalty | NaN | 0, off |
    | 256 | presence_penalty | infinite | the largest float32 of its sign |
    | 512 | frequency_penalty | NaN | 0, off |
    | 512 | frequency_penalty | infinite | the largest float32 of its sign |
    | 1024 | min_new_tokens | negative | 0, off |
    | 1024 | min_new_tokens | above max_new_tokens | max_new_tokens |
    | 2048 | length_penalty | NaN | 1 |
    | 2048 | length_penalty | infinite | the largest float32 of its sign |

    16 and 32 say what a model did with its text.
    """

    AS_ASKED = 0
    TEMPERATURE = 1
    TOP_K = 2
    TOP_P = 4
    MAX_NEW_TOKENS = 8
    MIN_P = 64
    REPETITION_PENALTY = 128
    PRESENCE_PENALTY = 256
    FREQUENCY_PENALTY = 512
    MIN_NEW_TOKENS = 1024
    LENGTH_PENALTY = 2048


def greedy_options(max_new_tokens: Tensor) -> Options:
    """Gives the options of rows that ask for nothing but a length.

    Args:
        max_new_tokens: int `(B,)`.

    Returns:
        `Options` that take the likeliest token and leave the logits as they are.
    """
    max_new_B = tf.cast(max_new_tokens, tf.int32)
    off_B, zero_B = tf.zeros_like(max_new_B), tf.zeros_like(max_new_B, tf.float32)
    one_B = tf.ones_like(zero_B)
    return Options(
        temperature=zero_B,
        top_k=off_B,
        top_p=one_B,
        seed=tf.cast(off_B, tf.int64),
        max_new_tokens=max_new_B,
        min_p=zero_B,
        repetition_penalty=one_B,
        presence_penalty=zero_B,
        frequency_penalty=zero_B,
        min_new_tokens=off_B,
    )


def validate_options(
    batch_size: int,
    *,
    max_new_tokens: int | Sequence[int],
    temperature: float | Sequence[float] | None = None,
    top_k: int | Sequence[int] = 0,
    top_p: float | Sequence[float] = 1.0,
    seed: int | Sequence[int] = 0,
    min_p: float | Sequence[float] = 0.0,
    repetition_penalty: float | Sequence[float] = 1.0,
    presence_penalty: float | Sequence[float] = 0.0,
    frequency_penalty: float | Sequence[float] = 0.0,
    min_new_tokens: int | Sequence[int] = 0,
) -> Options:
    """Checks what a Python caller asks for and spreads it over the rows.

    Args:
        batch_size: B.
        max_new_tokens: int or one for each row, at least 1.
        temperature: float or one for each row, finite, at least 0. None: 1 in rows that ask for a
            `top_k`, `top_p` or `min_p`, 0 in the others.
        top_k: int or one for each row, at least 0.
        top_p: float or one for each row, above 0, at most 1.
        seed: int or one for each row, of 64 bits. A single seed gives all rows the same random
            numbers; `generate(sequence=...)` tells rows with one seed apart.
        min_p: float or one for each row, at least 0, at most 1.
        repetition_penalty: float or one for each row, finite, above 0.
        presence_penalty: float or one for each row, finite.
        frequency_penalty: float or one for each row, finite.
        min_new_tokens: int or one for each row, at least 0, at most `max_new_tokens`.

    Returns:
        `Options` of tensors `(B,)`.

    Raises:
        TypeError: a value is not a number of the option's kind.
        ValueError: a value is out of range, or a list is not as long as the batch.
    """
    top_k_B = whole_numbers("top_k", top_k, batch_size, 0, "at least 0 (0 is off)")
    rule = "above 0 and at most 1 (1 is off)"
    top_p_B = numbers("top_p", top_p, batch_size, rule, lambda x: (x > 0) & (x <= 1))
    rule = "at least 0 (0 is off) and at most 1"
    min_p_B = numbers("min_p", min_p, batch_size, rule, lambda x: (x >= 0) & (x <= 1))
    if temperature is None:
        draws_B = (top_k_B > 0) | (top_p_B < 1) | (min_p_B > 0)
        temperature_B = np.where(draws_B, np.float32(1), np.float32(0))
    else:
        rule = "finite and at least 0 (0 takes the likeliest token)"
        temperature_B = numbers("temperature", temperature, batch_size, rule, lambda x: x >= 0)
    max_new_B = whole_numbers("max_new_tokens", max_new_tokens, batch_size, 1, "at least 1")
    rule = "at least 0 (0 is off)"
    min_new_B = whole_numbers("min_new_tokens", min_new_tokens, batch_size, 0, rule)
    if np.any(min_new_B > max_new_B):
        raise ValueError(
            "min_new_tokens must be at most max_new_tokens. "
            f"Received: {min_new_tokens!r}, max_new_tokens={max_new_tokens!r}"
        )
    rule = "finite and above 0 (1 is off)"
    repetition_B = numbers(
        "repetition_penalty", repetition_penalty, batch_size, rule, lambda x: x > 0
    )
    seed_B = whole_numbers("seed", seed, batch_size, -(2**63), "an int of 64 bits", np.int64)
    rule = "finite (0 is off)"
    found = Options(
        temperature=temperature_B,
        top_k=top_k_B,
        top_p=top_p_B,
        seed=seed_B,
        max_new_tokens=max_new_B,
        min_p=min_p_B,
        repetition_penalty=repetition_B,
        presence_penalty=numbers("presence_penalty", presence_penalty, batch_size, rule),
        frequency_penalty=numbers("frequency_penalty", frequency_penalty, batch_size, rule),
        min_new_tokens=min_new_B,
    )
    return Options(*map(tf.constant, found))


def clamp_options(options: Options, *, limit: int | Tensor) -> tuple[Options, Tensor]:
    """Brings any values into range and says where it had to.

    For exports, which never raise on a row: it would fail the rows of other clients.

    Args:
        options: int or float tensors `(B,)` of any values.
        limit: the most new tokens there is room for; int, int scalar or int `(B,)`, at least 1.

    Returns:
        `Options`, and the bits of `Status`, int32 `(B,)`.
    """
    largest = tf.float32.max
    smallest = float(np.finfo(np.float32).tiny)
    # Clamped before they are narrowed: a client may well send 2**40 for "no limit".
    asked = Options(*(tf.cast(x, tf.float32 if x.dtype.is_floating else tf.int64) for x in options))
    max_new = tf.maximum(tf.minimum(asked.max_new_tokens, tf.cast(limit, tf.int64)), 1)
    repetition = asked.repetition_penalty

    def finite(penalty: Tensor) -> Tensor:
        return tf.where(tf.math.is_nan(penalty), 0.0, tf.clip_by_value(penalty, -largest, largest))

    # NaN fails every comparison.
    clamped = Options(
        temperature=tf.where(asked.temperature >= 0, tf.minimum(asked.temperature, largest), 0.0),
        top_k=tf.clip_by_value(asked.top_k, 0, tf.int32.max),
        top_p=tf.where(asked.top_p <= 1, tf.maximum(asked.top_p, smallest), 1.0),
        seed=asked.seed,
        max_new_tokens=max_new,
        min_p=tf.where(asked.min_p >= 0, tf.minimum(asked.min_p, 1.0), 0.0),
        repetition_penalty=tf.where(
            repetition > 0, tf.clip_by_value(repetition, smallest, largest), 1.0
        ),
        presence_penalty=finite(asked.presence_penalty),
        frequency_penalty=finite(asked.frequency_penalty),
        min_new_tokens=tf.clip_by_value(asked.min_new_tokens, 0, max_new),
    )
    fields = zip(Options._fields, clamped, asked, strict=True)
    changed = {name: tf.not_equal(new, old) for name, new, old in fields}
    changed["top_k"] = asked.top_k < 0
    del changed["seed"]
    bits = [tf.cast(row, tf.int32) * Status[name.upper()] for name, row in changed.items()]
    narrow = (tf.cast(x, dtype) for x, dtype in zip(clamped, OPTION_DTYPES, strict=True))
    return Options(*narrow), tf.add_n(bits)
