"""What each task asks, and what its outputs mean: arrays of an answer to one object a row."""

import secrets
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from keras_lm.serving.client.answers import (
    Answer,
    Classification,
    Completion,
    Entity,
    Filling,
    Score,
)
from keras_lm.serving.client.metadata import Signature
from keras_lm.serving.client.transport import Arrays

Row = TypeVar("Row")

# What leaves each option off, see `keras_lm.generation.Options`.
_OFF = {
    "max_new_tokens": 50,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "min_new_tokens": 0,
    "length_penalty": 1.0,
}
_OPTIONS = {*_OFF, "temperature", "seed"}


def by_row(outputs: Arrays, read: Callable[[dict[str, Any]], Row]) -> list[Row]:
    """Reads each row of an answer."""
    names = list(outputs)
    rows = zip(*(outputs[name].tolist() for name in names), strict=True)
    return [read(dict(zip(names, row, strict=True))) for row in rows]


def classification(row: dict[str, Any]) -> Classification:
    """Of a text classifier: `label` or `labels` and `count`, and `classes`, `scores`."""
    labels = (row["label"],) if "label" in row else tuple(row["labels"][: row["count"]])
    scores = dict(zip(row["classes"], row["scores"], strict=True))
    return Classification(labels, scores, row["status"])


def entities(row: dict[str, Any]) -> list[Entity]:
    """Of a token classifier."""
    names = ("entities", "types", "starts", "ends", "scores")
    columns = (row[name][: row["count"]] for name in names)
    return [Entity(*values) for values in zip(*columns, strict=True)]


def fillings(row: dict[str, Any]) -> list[list[Filling]]:
    """Of a masked LM: for each mask what may stand there."""
    masks = zip(row["tokens"], row["scores"], strict=True)
    found = [[Filling(*pair) for pair in zip(*mask, strict=True)] for mask in masks]
    return found[: row["count"]]


def answer(row: dict[str, Any]) -> Answer:
    """Of question answering."""
    return Answer(*(row[name] for name in Answer._fields))


def completion(row: dict[str, Any]) -> Completion:
    """Of a model that generates."""
    text = row["completion"] if "completion" in row else row["target"]
    return Completion(text, row["count"], row.get("score"), row["status"])


def score(row: dict[str, Any]) -> Score:
    """Of a model that scores."""
    return Score(*(row[name] for name in Score._fields))


def options_for(
    signature: Signature, rows: int, asked: dict[str, Any], name: str
) -> dict[str, list[Any]]:
    """A value of each option that a signature takes for each row.

    Args:
        signature: what is asked.
        rows: how many there are.
        asked: values, or lists of one for each row, by option. What is not there is off: tokens are
            the likeliest, unless `top_k`, `top_p`, `min_p` or a `seed` ask for draws.
        name: of the signature.

    Raises:
        ValueError: the signature has no such option, or a list has another length.
    """
    known = _OPTIONS & set(signature.inputs)
    unknown = set(asked) - known
    if unknown:
        raise ValueError(
            f"Signature {name!r} has the options {', '.join(sorted(known)) or '(none)'}. "
            f"Received: {', '.join(sorted(unknown))}"
        )
    found = {}
    for option in sorted(known):
        if option in asked:
            found[option] = _spread(option, asked[option], rows)
        elif option == "seed":
            found[option] = [secrets.randbits(63) for _ in range(rows)]
        elif option == "temperature":
            draws = {"top_k", "top_p", "min_p", "seed"} & set(asked)
            found[option] = [1.0 if draws else 0.0] * rows
        else:
            found[option] = [_OFF[option]] * rows
    return found


def _spread(option: str, value: Any, rows: int) -> list[Any]:
    if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, np.ndarray)):
        return [value] * rows
    if len(value) != rows:
        raise ValueError(
            f"{option} must be one value, or one for each of {rows} texts. Received: {len(value)}"
        )
    return list(value)
