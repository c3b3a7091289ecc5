"""Values that a Python caller gives for all rows or for each, checked and spread.

B batch.
"""

from collections.abc import Callable
from typing import Any

import numpy as np


def whole_numbers(
    name: str, value: Any, batch_size: int, lowest: int, rule: str, dtype: type = np.int32
) -> np.ndarray:
    """Spreads ints over the rows.

    Args:
        name: of the option, for errors.
        value: int, or one for each row.
        batch_size: B.
        lowest: that is allowed.
        rule: what a value must be, for errors.
        dtype: of the result; what does not fit is out of range.

    Returns:
        `(B,)`.

    Raises:
        TypeError: a value is no int.
        ValueError: a value is out of range, or they are not as many as rows.
    """
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
    return per_row(name, array.astype(dtype), batch_size, value)


def numbers(
    name: str,
    value: Any,
    batch_size: int,
    rule: str,
    holds: Callable[[np.ndarray], Any] = lambda _: True,
) -> np.ndarray:
    """Spreads finite numbers over the rows.

    Args:
        name: of the option, for errors.
        value: int or float, or one for each row.
        batch_size: B.
        rule: what a value must be, for errors.
        holds: says of each whether it is.

    Returns:
        float32 `(B,)`.

    Raises:
        TypeError: a value is no number.
        ValueError: a value is out of range, or they are not as many as rows.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(
            f"{name} must be a number, or a list of one for each row. Received: {value!r}"
        )
    with np.errstate(over="ignore"):  # 1e300 becomes infinite, which no rule allows
        array = array.astype(np.float32)
    if not np.all(np.isfinite(array) & holds(array)):
        raise ValueError(f"{name} must be {rule}. Received: {value!r}")
    return per_row(name, array, batch_size, value)


def per_row(name: str, array: np.ndarray, batch_size: int, value: Any) -> np.ndarray:
    """Repeats one value for every row.

    Raises:
        ValueError: there are several, and not as many as rows. `value` is what was received.
    """
    if array.ndim == 0:
        return np.full([batch_size], array)
    if array.shape != (batch_size,):
        raise ValueError(
            f"{name} must be one value, or one for each of {batch_size} rows. Received: {value!r}"
        )
    return array
