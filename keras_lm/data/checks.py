"""Checks of the arguments that all pipelines share, made before any file is read."""

import operator
from typing import Any

from keras_lm.tokenizers.tokenizer import Tokenizer


def integer(name: str, value: Any, least: int) -> int:
    """An integer argument as an int.

    Raises:
        ValueError: it is no integer, or below `least`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or not least <= number < 2**63:
        rule = "positive" if least == 1 else f"at least {least}"
        raise ValueError(f"{name} must be an integer, {rule}. Received: {name}={value!r}")
    return number


def multiple(batch_size: int, batch_multiple: int) -> None:
    """Raises ValueError unless `batch_size` is a multiple of `batch_multiple`."""
    if batch_size % batch_multiple:
        raise ValueError(
            "batch_size must be a multiple of batch_multiple. "
            f"Received: batch_size={batch_size}, batch_multiple={batch_multiple}"
        )


def seed(value: Any) -> int:
    """A seed as an int of 64 bits.

    Raises:
        ValueError: it is none.
    """
    return integer("seed", value, -(2**63))


def tokenizer(value: Any, *roles: str) -> Tokenizer:
    """A tokenizer that has a token for each role, such as "mask".

    Raises:
        TypeError: it is no tokenizer of keras_lm.
        ValueError: it lacks a token.
    """
    if not isinstance(value, Tokenizer):
        raise TypeError(
            "tokenizer must be a keras_lm.tokenizers.Tokenizer, such as "
            f"keras_lm.tokenizers.load(directory) gives. Received: {type(value).__name__}"
        )
    missing = [role for role in roles if getattr(value, f"{role}_id") is None]
    if missing:
        raise ValueError(
            f"The tokenizer must have a token for each of {', '.join(roles)}. Received: "
            f"{type(value).__name__} without {', '.join(missing)}"
        )
    return value
