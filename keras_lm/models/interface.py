"""What a model returns, and the graphs that ask it."""

from collections.abc import Callable
from typing import Any, TypeVar

import tensorflow as tf

Tensor = Any
Made = TypeVar("Made")


def by_head(outputs: dict[str, Tensor], hidden: Tensor) -> Any:
    """Returns a dict of several heads' outputs, one head's output alone, or the hidden states."""
    if not outputs:
        return hidden
    return outputs if len(outputs) > 1 else next(iter(outputs.values()))


def made_once(kind: Callable[[Any, Any], Made], model: Any, tokenizer: Any) -> Made:
    """Returns `kind(model, tokenizer)`, made at the first call: its graphs are traced once.

    Another tokenizer makes another, and so do weights that were added meanwhile (LoRA). A model
    without weights gets them here.
    """
    # Not an attribute: Keras would look into it for layers, and it holds the model.
    if not model.built:
        model.build()
    made = model.__dict__.setdefault("_made_once", {})
    # Weights are never replaced, and nothing takes some away.
    known = (tokenizer, len(model.weights))
    if kind not in made or made[kind][0] != known:
        made[kind] = (known, kind(model, tokenizer))
    return made[kind][1]


def as_text(text: str | bytes) -> str:
    """Reads bytes as the tokenizers do."""
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def graph(function: Callable[..., Any], *signature: Any) -> Any:
    """Returns the function as a graph of its own that is traced once, for inputs of these specs."""
    return tf.function(function, autograph=False, input_signature=signature)


def check_ids(rows: list[list[int]], vocab_size: int, max_length: int) -> None:
    """Checks rows of ids that a user gave.

    Raises:
        ValueError: a row longer than `max_length`, or an id outside the vocabulary.
    """
    for i, row in enumerate(rows):
        if len(row) > max_length:
            raise ValueError(
                f"A sequence may have at most max_length={max_length} tokens. "
                f"Received: {len(row)} tokens in row {i}"
            )
        for token_id in row:
            if not 0 <= token_id < vocab_size:
                raise ValueError(
                    f"Ids must be in 0 .. vocab_size - 1 = {vocab_size - 1}. "
                    f"Received: {token_id} in row {i}"
                )
