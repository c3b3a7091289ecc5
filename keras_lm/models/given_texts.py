"""Strings that a user gives, told from data and checked.

N texts.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_lm.data.label_values import HALF_PAIR


def as_texts(x: Any) -> tuple[list[list[Any]], bool] | None:
    """Returns texts, and second texts where they are pairs; None for what is no text.

    Args:
        x: a string, or a pair of strings as a tuple; or a list or a NumPy array of them.

    Returns:
        One or two lists of N strings; and whether it was a single text or pair.

    Raises:
        ValueError: there is none; texts and pairs, or something else, are mixed; or a text has half
            of a surrogate pair, which JSON can say and UTF-8 cannot.
    """
    if x is None:
        raise ValueError("There must be a text at least. Received: None")
    if isinstance(x, str | bytes):
        return _whole([[x]]), True
    if isinstance(x, tuple) and len(x) == 2 and all(isinstance(part, str | bytes) for part in x):
        return _whole([[x[0]], [x[1]]]), True
    if isinstance(x, np.ndarray) and x.dtype.kind in "OSU":
        x = x.tolist()
    if not isinstance(x, list | tuple):
        return None
    if not x:
        raise ValueError("There must be a text at least. Received: none")
    first = x[0]
    if isinstance(first, str | bytes):
        _check(x, lambda text: isinstance(text, str | bytes))
        return _whole([list(x)]), False
    if isinstance(first, list | tuple) and first and isinstance(first[0], str | bytes):
        _check(x, _is_pair)
        return _whole([[pair[side] for pair in x] for side in (0, 1)]), False
    return None


def _whole(sides: list[list[Any]]) -> list[list[Any]]:
    """Raises for what is no text in UTF-8."""
    for side in sides:
        for place, text in enumerate(side):
            if isinstance(text, str) and HALF_PAIR.search(text):
                raise ValueError(
                    "A text must have whole characters, no half of a surrogate pair. "
                    f"Received: {text!r:.80} at {place}"
                )
    return sides


def _is_pair(value: Any) -> bool:
    right = isinstance(value, list | tuple) and len(value) == 2
    return right and all(isinstance(text, str | bytes) for text in value)


def _check(items: Sequence[Any], is_right: Callable[[Any], bool]) -> None:
    for place, item in enumerate(items):
        if not is_right(item):
            raise ValueError(
                "Texts must be strings, or all of them pairs of strings. "
                f"Received: {item!r:.80} at {place}"
            )
