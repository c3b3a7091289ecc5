"""Questions that a signature can be asked, made from what it takes.

For the sheet of an export, for warming up a server and for comparing an export with its model.
Knows signatures by the names of their inputs alone.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

Tensor = Any
Question = dict[str, np.ndarray]

# Options that 0 does not turn off.
_OPTIONS = {"max_new_tokens": 8, "top_p": 1, "repetition_penalty": 1, "length_penalty": 1}
_SECOND = frozenset(("text_pair", "target", "context"))  # of two texts
TEXTS = frozenset(("text", "prompt", "question")) | _SECOND
EXAMPLES = "inputs"  # of Classify and Regress: tf.Example messages
_IDS = frozenset(("token_ids", "lengths"))
_STATE = "continues"  # what a signature gives that gives a state


def inputs_of(function: tf.types.experimental.ConcreteFunction) -> dict[str, tf.TensorSpec]:
    """What a function with a signature takes, by name."""
    return {spec.name: spec for spec in tf.nest.flatten(function.structured_input_signature)}


def is_for_an_engine(function: tf.types.experimental.ConcreteFunction) -> bool:
    """Says whether a signature gives a state to go on from, which is too large for a client."""
    return _STATE in function.structured_outputs


def question(
    inputs: Mapping[str, tf.TensorSpec],
    texts: Sequence[str | tuple[str, str]],
    encode: Callable[..., list[int]],
) -> Question:
    """One question of as many rows as there are texts.

    Args:
        inputs: what the signature takes.
        texts: what each row is about: a text, which is all texts where a signature takes several;
            or a pair of them, such as a question and its context.
        encode: gives the ids of a text, or of the two of a pair, with special tokens.

    Returns:
        Arrays by name; options ask for eight tokens, greedily.
    """
    found: Question = {}
    alone = [(text,) if isinstance(text, str) else text for text in texts]
    rows = [encode(*text) for text in alone] if _IDS & set(inputs) else []
    for name, spec in inputs.items():
        dtype = spec.dtype.as_numpy_dtype
        if name in TEXTS:
            place = -1 if name in _SECOND else 0
            found[name] = np.array([text[place].encode("utf-8") for text in alone], object)
        elif name == EXAMPLES:
            found[name] = np.array([_example(text[0], text[-1]) for text in alone], object)
        elif name == "lengths":
            found[name] = np.array([len(row) for row in rows], dtype)
        elif name == "token_ids":
            found[name] = np.zeros((len(rows), max(map(len, rows), default=0)), dtype)
            for place, row in enumerate(rows):
                found[name][place, : len(row)] = row
        else:
            found[name] = np.full([len(texts)], _OPTIONS.get(name, 0), dtype)
    return found


def example_texts(serialized: bytes) -> dict[str, str]:
    """The features of a `tf.Example` that `question` made."""
    features = tf.train.Example.FromString(serialized).features.feature
    return {name: value.bytes_list.value[0].decode("utf-8") for name, value in features.items()}


def _example(text: str, pair: str) -> bytes:
    values = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode("utf-8")]))
        for name, value in (("text", text), ("text_pair", pair))
    }
    features = tf.train.Features(feature=values)
    return tf.train.Example(features=features).SerializeToString(deterministic=True)


def answer(
    function: tf.types.experimental.ConcreteFunction, asked: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Asks a function in this process."""
    specs = tf.nest.flatten(function.structured_input_signature)
    given = [tf.constant(asked[spec.name], spec.dtype) for spec in specs]
    args, kwargs = tf.nest.pack_sequence_as(function.structured_input_signature, given)
    return {name: value.numpy() for name, value in function(*args, **kwargs).items()}
