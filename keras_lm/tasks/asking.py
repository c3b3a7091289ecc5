"""Strings that a user gives to `predict`: told from data, checked, and answered in batches.

N texts.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

BATCH_SIZE = 32  # Keras's own

Answer = dict[str, Any]  # arrays, numbers and bytes by name


def as_texts(x: Any) -> tuple[list[list[Any]], bool] | None:
    """Returns texts, and second texts where they are pairs; None for what is no text.

    Args:
        x: a string, or a pair of strings as a tuple; or a list or a NumPy array of them.

    Returns:
        One or two lists of N strings; and whether it was a single text or pair.

    Raises:
        ValueError: there is none; or texts and pairs, or something else, are mixed.
    """
    if isinstance(x, str | bytes):
        return [[x]], True
    if isinstance(x, tuple) and len(x) == 2 and all(isinstance(part, str | bytes) for part in x):
        return [[x[0]], [x[1]]], True
    if isinstance(x, np.ndarray) and x.dtype.kind in "OSU":
        x = x.tolist()
    if not isinstance(x, list | tuple):
        return None
    if not x:
        raise ValueError("There must be a text at least. Received: none")
    first = x[0]
    if isinstance(first, str | bytes):
        _check(x, lambda text: isinstance(text, str | bytes))
        return [list(x)], False
    if isinstance(first, list | tuple) and first and isinstance(first[0], str | bytes):
        _check(x, _is_pair)
        return [[pair[side] for pair in x] for side in (0, 1)], False
    return None


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


def answers(
    ask: Callable[..., dict[str, Any]],
    texts: Sequence[Sequence[Any]],
    batch_size: int | None,
    verbose: Any,
    lengths: Any = None,
) -> list[Answer]:
    """Answers texts in batches of about one length, so that little is padded.

    Args:
        ask: one or two tensors `(B,)` of strings to a dict of tensors, the batch first.
        texts: one or two lists of N strings; or of what else `ask` takes.
        batch_size: texts that are read at once. None: 32.
        verbose: 0: no progress bar.
        lengths: N numbers to sort by. None: the lengths of the strings.

    Returns:
        N answers, in the order of the texts: by name the row of each output.

    Raises:
        ValueError: `batch_size` is not positive.
    """
    size = BATCH_SIZE if batch_size is None else batch_size
    if size < 1:
        raise ValueError(f"batch_size must be positive. Received: {batch_size}")
    if lengths is None:
        lengths = [sum(map(len, row)) for row in zip(*texts, strict=True)]
    order = np.argsort(lengths, kind="stable")
    bar = keras.utils.Progbar(-(-len(order) // size)) if verbose else None
    found: list[Answer] = [{}] * len(order)
    # The longest first: what does not fit into memory fails at once.
    for number, rows in enumerate(_batches(order[::-1], size)):
        answer = ask(*(tf.constant([side[i] for i in rows]) for side in texts))
        values = {name: value.numpy() for name, value in answer.items()}
        for place, i in enumerate(rows):
            found[i] = {name: value[place] for name, value in values.items()}
        if bar is not None:
            bar.update(number + 1)
    return found


def _batches(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for begin in range(0, len(order), size):
        yield order[begin : begin + size]
