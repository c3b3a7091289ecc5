"""Reads a model from a directory of Hugging Face's layout, or of Google's own BERT and ELECTRA."""

import pathlib
from typing import Any

from keras_lm.checkpoints.companions import read_companions
from keras_lm.checkpoints.config import CONFIG, Config
from keras_lm.checkpoints.families import OWN, family_of, variant
from keras_lm.checkpoints.family import Family
from keras_lm.checkpoints.filling import filled
from keras_lm.checkpoints.matching import names_in
from keras_lm.checkpoints.opening import open_tensors
from keras_lm.checkpoints.replacing import finish_interrupted
from keras_lm.checkpoints.tensors import TensorFile

GOOGLE_CONFIG = "bert_config.json"


def load_directory(directory: pathlib.Path, task: Any = None, dtype: Any = None) -> Any:
    """Loads a model; see `keras_lm.load`."""
    finish_interrupted(directory)
    config = read_config(directory)
    family = family_of(config)
    with open_tensors(directory) as file:
        model = _filled(family, config, file, task, dtype)
    model.companions = read_companions(directory, config, model)
    return model


def read_config(directory: pathlib.Path) -> Config:
    """Reads config.json; of Google's directories bert_config.json.

    Raises:
        FileNotFoundError: there is neither.
    """
    for name, model_type in ((CONFIG, None), (GOOGLE_CONFIG, "bert")):
        if (directory / name).is_file():
            config = Config.of(directory / name)
            if model_type:
                config.values.setdefault("model_type", model_type)
            return config
    names = ", ".join(sorted(path.name for path in directory.iterdir())) or "nothing"
    raise FileNotFoundError(
        f"A model's directory must hold {CONFIG}. Received: {directory} with {names}"
    )


def _filled(family: Family, config: Config, file: TensorFile, task: Any, dtype: Any) -> Any:
    arguments = _arguments(family, config)
    arguments.update(variant(family, config, names_in(file), task))
    config.warn_of_the_rest()
    return filled(family, arguments, file, dtype)


def _arguments(family: Family, config: Config) -> dict[str, Any]:
    """Gives the constructor's arguments, without those that say which heads there are."""
    if not str(config.get("model_type", "")).startswith(OWN):
        return family.arguments(config)
    values = config.get("arguments", None)
    known = set(family.model.__init__.__annotations__) - {"kwargs", "return", "tokenizer"}
    if not isinstance(values, dict) or set(values) - known:
        config.refuse("arguments", f"arguments must be of {', '.join(sorted(known))}.")
    return dict(values)
