"""Another number of tokens for a model that has learnt already."""

import dataclasses
from typing import Any

import tensorflow as tf

from keras_lm.training import LanguageModel


def resize_token_embeddings(model: LanguageModel, new_size: int) -> Any:
    """Makes a model with another vocabulary size, whose other weights are those of this one.

    Keras can't change a weight's shape, so it is a new model; compile it anew. Ids keep their rows.
    The row and the output bias of a new id are the means of the old ones: then no new token is
    likelier than an average old one, whatever comes before (Hewitt 2021, "Initializing New Word
    Embeddings for Pretrained Language Models").

    Adapters and what is frozen come along. Behind `add_lora` the new rows stay the means, since the
    table does not train; and as no directory holds a model of that size, adapters that are saved
    name none: `keras_lm.load_lora` gives them to this model.

    Args:
        model: a model with a `vocab_size`.
        new_size: number of ids. Smaller than before: the last ones are lost.

    Returns:
        The new model, with the same tokenizer, made in the scope of the current strategy.

    Raises:
        ValueError: `new_size` is not positive, or smaller than the tokenizer's vocabulary; a model
            without a vocabulary.
    """
    old_size = model.vocab_size
    if old_size is None or "vocab_size" not in model.constructor_arguments:
        raise ValueError(
            "A model must have a vocab_size of its own; of a task resize the model that it is made "
            f"on, before. Received: {type(model).__name__}"
        )
    if not isinstance(new_size, int) or new_size < 1:
        raise ValueError(f"new_size must be a positive integer. Received: {new_size!r}")
    if not model.built:
        model.build()
    config = {**model.get_config(), "vocab_size": new_size, "tokenizer": None}
    resized = type(model).from_config(config)
    resized.tokenizer = model.tokenizer
    resized.build()
    resized.adapt(model.adaptation())
    for old, new in zip(model.weights, resized.weights, strict=True):
        new.assign(old if old.shape == new.shape else _with_rows(old, new_size))
    if hasattr(model, "companions"):  # What came with it from a directory.
        resized.companions = dataclasses.replace(model.companions, source=None, weights={})
    resized.provenance = dataclasses.replace(model.provenance, scores=())
    return resized


def _with_rows(weight: Any, num_rows: int) -> Any:
    """Cuts the rows of `(V, ...)`, or fills them up with their mean."""
    value = tf.convert_to_tensor(weight)
    mean = tf.reduce_mean(tf.cast(value, "float32"), axis=0, keepdims=True)
    missing = max(num_rows - weight.shape[0], 0)
    filling = tf.repeat(tf.cast(mean, value.dtype), missing, axis=0)
    return tf.concat([value[:num_rows], filling], axis=0)
