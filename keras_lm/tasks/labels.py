"""The names of the classes, in their order; and labels that can't be, before a fit of hours."""

from collections.abc import Iterable
from typing import Any

import numpy as np


def label_names(labels: Iterable[str] | int, least: int = 1) -> tuple[str, ...]:
    """Returns the names of the classes.

    Args:
        labels: different names, class 0 first; or how many there are: `"LABEL_0"` and so on, which
            is what Transformers calls them.
        least: how many there must be.

    Raises:
        ValueError: there are too few, a name is none, or two are the same.
    """
    if isinstance(labels, int) and not isinstance(labels, bool):
        names = [f"LABEL_{i}" for i in range(labels)]
    elif isinstance(labels, (list, tuple)):
        names = [str(name) if isinstance(name, str) else "" for name in labels]
    else:
        names = []
    if len(names) < least or not all(names) or len(set(names)) < len(names):
        raise ValueError(
            f"labels must be at least {least} different names in the order of the classes, or "
            f"their number. Received: labels={labels!r}"
        )
    return tuple(names)


def check_classes(labels: Any, number: int, least: float = 0) -> None:
    """Raises for classes in a NumPy array that there are not; tensors are not looked at.

    Args:
        labels: int or bool, of any shape.
        number: of classes.
        least: the lowest number that a label may be.

    Raises:
        ValueError: a label is no whole number in `least .. number - 1`.
    """
    if not isinstance(labels, np.ndarray) or not labels.size:
        return
    if not np.issubdtype(labels.dtype, np.integer) and labels.dtype != bool:
        raise ValueError(
            f"Labels must be whole numbers in 0 .. {number - 1}, classes by their place in the "
            f"model's labels. Received: an array of {labels.dtype}"
        )
    if labels.min() < least or labels.max() >= number:
        raise ValueError(
            f"Labels must be in 0 .. {number - 1}, classes by their place in the model's labels. "
            f"Received: labels from {labels.min()} to {labels.max()}"
        )


def check_numbers(labels: Any, low: float = -np.inf, high: float = np.inf) -> None:
    """Raises for numbers in a NumPy array that are none, or outside `low .. high`.

    Raises:
        ValueError: a label is NaN, infinite, or outside.
    """
    if not isinstance(labels, np.ndarray) or not labels.size:
        return
    if labels.dtype.kind not in "fiub" or not np.isfinite(labels).all():
        raise ValueError(f"Labels must be finite numbers. Received: {labels!r:.200}")
    if labels.min() < low or labels.max() > high:
        raise ValueError(
            f"Labels must be in {low} .. {high}. "
            f"Received: labels from {labels.min()} to {labels.max()}"
        )
