"""Strings that a user gives to `predict`, answered in batches.

N texts.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

BATCH_SIZE = 32  # Keras's own

Answer = dict[str, Any]  # arrays, numbers and bytes by name


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
        verbose: 0: no progress bar; a function: it is told behind each batch how many texts are
            answered, and how many there are.
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
    tell = verbose if callable(verbose) else None
    bar = keras.utils.Progbar(-(-len(order) // size)) if verbose and tell is None else None
    found: list[Answer] = [{}] * len(order)
    # The longest first: what does not fit into memory fails at once.
    for number, rows in enumerate(_batches(order[::-1], size)):
        answer = ask(*(tf.constant([side[i] for i in rows]) for side in texts))
        values = {name: value.numpy() for name, value in answer.items()}
        for place, i in enumerate(rows):
            found[i] = {name: value[place] for name, value in values.items()}
        if bar is not None:
            bar.update(number + 1)
        if tell is not None:
            tell(number * size + len(rows), len(order))
    return found


def _batches(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for begin in range(0, len(order), size):
        yield order[begin : begin + size]
