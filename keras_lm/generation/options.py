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
    """

    temperature: Tensor
    top_k: Tensor
    top_p: Tensor
    seed: Tensor
    max_new_tokens: Tensor


class Status(enum.IntFlag):
    """What `clamp_options` changed, as the bits of a number. 0: the row runs as asked.

    | bit | option | was | became |
    |---|---|---|---|
    | 1 | temperature | negative or NaN | 0 |
    | 1 | temperature | infinite | the largest float32 |
    | 2 | top_k | negative | 0, off |
    | 4 | top_p | 0 or less | the smallest float32, which keeps the likeliest token |
    | 4 | top_p | above 1 or NaN | 1, off |
    | 8 | max_new_tokens | below 1 | 1 |
    | 8 | max_new_tokens | above the limit | the limit |
    """

    AS_ASKED = 0
    TEMPERATURE = 1
    TOP_K = 2
    TOP_P = 4
    MAX_NEW_TOKENS = 8


def validate_options(
    batch_size: int,
    *,
    max_new_tokens: int | Sequence[int],
    temperature: float | Sequence[float] | None = None,
    top_k: int | Sequence[int] = 0,
    top_p: float | Sequence[float] = 1.0,
    seed: int | Sequence[int] = 0,
) -> Options:
    """Checks what a Python caller asks for and spreads it over the rows.

    Args:
        batch_size: B.
        max_new_tokens: int or one for each row, at least 1.
        temperature: float or one for each row, finite, at least 0. None: 1 in rows that ask for a
            `top_k` or `top_p`, 0 in the others.
        top_k: int or one for each row, at least 0.
        top_p: float or one for each row, above 0, at most 1.
        seed: int or one for each row, of 64 bits. A single seed gives all rows the same random
            numbers; `generate(sequence=...)` tells rows with one seed apart.

    Returns:
        `Options` of tensors `(B,)`.

    Raises:
        TypeError: a value is not a number of the option's kind.
        ValueError: a value is out of range, or a list is not as long as the batch.
    """
    top_k_B = _integers("top_k", top_k, batch_size, 0, "at least 0 (0 is off)", np.int32)
    top_p_B = _floats("top_p", top_p, batch_size)
    if not np.all((top_p_B > 0) & (top_p_B <= 1)):
        raise ValueError(f"top_p must be above 0 and at most 1 (1 is off). Received: {top_p!r}")
    if temperature is None:
        temperature_B = np.where((top_k_B > 0) | (top_p_B < 1), np.float32(1), np.float32(0))
    else:
        temperature_B = _floats("temperature", temperature, batch_size)
        if not np.all(np.isfinite(temperature_B) & (temperature_B >= 0)):
            raise ValueError(
                "temperature must be finite and at least 0 (0 takes the likeliest token). "
                f"Received: {temperature!r}"
            )
    max_new_B = _integers("max_new_tokens", max_new_tokens, batch_size, 1, "at least 1", np.int32)
    seed_B = _integers("seed", seed, batch_size, -(2**63), "an int of 64 bits", np.int64)
    return Options(*map(tf.constant, (temperature_B, top_k_B, top_p_B, seed_B, max_new_B)))


def clamp_options(
    temperature: Tensor,
    top_k: Tensor,
    top_p: Tensor,
    seed: Tensor,
    max_new_tokens: Tensor,
    *,
    limit: int | Tensor,
) -> tuple[Options, Tensor]:
    """Brings any values into range and says where it had to.

    For exports, which never raise on a row: it would fail the rows of other clients.

    Args:
        temperature: float `(B,)`.
        top_k: int `(B,)`.
        top_p: float `(B,)`.
        seed: int `(B,)`.
        max_new_tokens: int `(B,)`.
        limit: the most new tokens there is room for; int, int scalar or int `(B,)`, at least 1.

    Returns:
        `Options`, and the bits of `Status`, int32 `(B,)`.
    """
    largest = tf.float32.max
    smallest = float(np.finfo(np.float32).tiny)
    temperature = tf.cast(temperature, tf.float32)
    warm = tf.where(temperature >= 0, tf.minimum(temperature, largest), 0.0)  # NaN fails `>=`
    top_p = tf.cast(top_p, tf.float32)
    share = tf.where(top_p <= 1, tf.maximum(top_p, smallest), 1.0)
    limit = tf.cast(limit, tf.int64)
    # Clamped before they are narrowed: a client may well send 2**40 for "no limit".
    asked = tf.cast(max_new_tokens, tf.int64)
    max_new = tf.maximum(tf.minimum(asked, limit), 1)
    wide_k = tf.cast(top_k, tf.int64)
    options = Options(
        temperature=warm,
        top_k=tf.cast(tf.clip_by_value(wide_k, 0, tf.int32.max), tf.int32),
        top_p=share,
        seed=tf.cast(seed, tf.int64),
        max_new_tokens=tf.cast(max_new, tf.int32),
    )
    changed = {
        Status.TEMPERATURE: tf.not_equal(warm, temperature),
        Status.TOP_K: wide_k < 0,
        Status.TOP_P: tf.not_equal(share, top_p),
        Status.MAX_NEW_TOKENS: tf.not_equal(max_new, asked),
    }
    return options, tf.add_n([tf.cast(row, tf.int32) * int(bit) for bit, row in changed.items()])


def _integers(
    name: str, value: Any, batch_size: int, lowest: int, rule: str, dtype: type
) -> np.ndarray:
    array = np.asarray(value)
    # Python ints beyond 64 bits make an object array or uint64; both are a matter of range.
    whole = array.dtype.kind in "iu" or (
        array.dtype == object and all(type(item) is int for item in array.ravel())
    )
    if not whole:
        raise TypeError(
            f"{name} must be an int, or a list of one for each row. Received: {value!r}"
        )
    top = np.iinfo(dtype).max
    if any(not lowest <= int(item) <= top for item in array.ravel()):
        raise ValueError(f"{name} must be {rule}, at most {top}. Received: {value!r}")
    return _rows(name, array.astype(dtype), batch_size, value)


def _floats(name: str, value: Any, batch_size: int) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(
            f"{name} must be a number, or a list of one for each row. Received: {value!r}"
        )
    with np.errstate(over="ignore"):  # 1e300 becomes infinite, and the caller's rule rejects it
        return _rows(name, array.astype(np.float32), batch_size, value)


def _rows(name: str, array: np.ndarray, batch_size: int, value: Any) -> np.ndarray:
    if array.ndim == 0:
        return np.full([batch_size], array)
    if array.shape != (batch_size,):
        raise ValueError(
            f"{name} must be one value, or one for each of {batch_size} rows. Received: {value!r}"
        )
    return array
