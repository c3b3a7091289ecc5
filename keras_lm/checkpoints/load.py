"""Reads a model back from a file."""

import os
import pathlib
import zipfile

import keras

# Registers every class with Keras, so that the file needs no custom_objects.
import keras_lm.models
from keras_lm.training import LanguageModel


def load(path: str | os.PathLike) -> LanguageModel:
    """Loads what `model.save("NAME.keras")` wrote: sizes, weights, tokenizer, compiled state.

    Args:
        path: a `.keras` file.

    Returns:
        The model.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no `.keras` file, or holds no model of keras_lm.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"load takes a .keras file. Received: {path}, which does not exist")
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise ValueError(
            "load takes a .keras file, as model.save writes it; directories of other libraries "
            f"can't be read yet. Received: {path}"
        )
    try:
        model = keras.saving.load_model(path)
    except KeyError as error:
        raise ValueError(
            f"load takes a .keras file. Received: {path}, which lacks {error}"
        ) from None
    if not isinstance(model, LanguageModel):
        raise ValueError(
            f"The file must hold one of {', '.join(keras_lm.models.MODELS)}. "
            f"Received: {path}, with a {type(model).__name__}"
        )
    if not model.built:
        raise ValueError(f"The file must hold weights. Received: {path}, without them")
    return model
