"""Reads a model from a directory of Hugging Face's layout, or of Google's own BERT and ELECTRA."""

import dataclasses
import functools
import pathlib
from typing import Any, NoReturn

from keras_lm.checkpoints.base_weights import checksums
from keras_lm.checkpoints.companions import read_companions
from keras_lm.checkpoints.config import CONFIG, Config, provenance_of
from keras_lm.checkpoints.families import family_of, variant
from keras_lm.checkpoints.family import BACKBONE, OWN, Family
from keras_lm.checkpoints.filling import filled
from keras_lm.checkpoints.google_electra import ElectraPart, config_fields, is_electra
from keras_lm.checkpoints.matching import names_in
from keras_lm.checkpoints.opening import open_tensors
from keras_lm.checkpoints.replacing import finish_interrupted
from keras_lm.checkpoints.task_heads import task_head
from keras_lm.checkpoints.tf1 import TF1Checkpoint, find_checkpoint
from keras_lm.training.provenance import Provenance

GOOGLE_CONFIG = "bert_config.json"


def load_directory(
    directory: pathlib.Path, task: Any = None, dtype: Any = None, labels: Any = None
) -> Any:
    """Loads a model; see `keras_lm.load`."""
    finish_interrupted(directory)
    config = _read_config(directory)
    with open_tensors(directory) as file:
        tensors = file
        if isinstance(file, TF1Checkpoint) and is_electra(file):
            tensors = ElectraPart(file, generator=task == "masked_lm")
            config = config or Config(config_fields(tensors), directory)
        if config is None:
            _refuse(directory)
        family = family_of(config)
        arguments = _arguments(family, config)
        head = task_head(family, config, tensors, task, labels)
        if head is not None and head.trained:
            make = functools.partial(head.make, family, arguments)
        else:
            heads = task if head is None else BACKBONE
            arguments.update(variant(family, config, names_in(tensors), heads))
            make = functools.partial(family.model, **arguments)
        provenance = provenance_of(config)
        config.warn_of_the_rest()
        model = filled(make, family, arguments["vocab_size"], tensors, dtype)
    known = read_companions(directory, config, model)
    model.companions = dataclasses.replace(known, weights=checksums(model, family))
    if provenance == Provenance():
        provenance = Provenance(source=directory.resolve().name)
    model.provenance = provenance
    return model if head is None or head.trained else head.on(model, directory)


def _read_config(directory: pathlib.Path) -> Config | None:
    """Reads config.json, or of Google's directories bert_config.json; ELECTRA's have neither."""
    for name, model_type in ((CONFIG, None), (GOOGLE_CONFIG, "bert")):
        if (directory / name).is_file():
            config = Config.of(directory / name)
            if model_type:
                config.values.setdefault("model_type", model_type)
            return config
    if find_checkpoint(directory) is None:
        _refuse(directory)
    return None


def _refuse(directory: pathlib.Path) -> NoReturn:
    names = ", ".join(sorted(path.name for path in directory.iterdir())) or "nothing"
    raise FileNotFoundError(
        f"A model's directory must hold {CONFIG}. Received: {directory} with {names}"
    )


def _arguments(family: Family, config: Config) -> dict[str, Any]:
    """Gives the constructor's arguments, without those that say which heads there are."""
    if not str(config.get("model_type", "")).startswith(OWN):
        return family.arguments(config)
    values = config.get("arguments", None)
    known = set(family.model.__init__.__annotations__) - {"kwargs", "return", "tokenizer"}
    if not isinstance(values, dict) or set(values) - known:
        config.refuse("arguments", f"arguments must be of {', '.join(sorted(known))}.")
    return dict(values)
