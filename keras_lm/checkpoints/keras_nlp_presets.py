"""Presets of keras-nlp: its library loads them, and their weights become a model of ours.

The numbers are those of keras-nlp's own backbone. While it is loaded, both models are in memory.
"""

import dataclasses
import functools
import importlib
import json
import pathlib
import tempfile
from typing import Any

import numpy as np

from keras_lm.checkpoints.base_weights import checksums
from keras_lm.checkpoints.companions import read_companions
from keras_lm.checkpoints.config import CONFIG, Config
from keras_lm.checkpoints.family import BACKBONE
from keras_lm.checkpoints.filling import filled
from keras_lm.checkpoints.keras_nlp_names import BACKBONES, Backbone
from keras_lm.checkpoints.task_heads import check_labels, is_task, new_head
from keras_lm.checkpoints.tensors import TensorFile, TensorInfo
from keras_lm.training.provenance import Provenance

_PREFIXES = ("keras_nlp:", "keras_hub:")
_SCHEMES = ("kaggle://", "hf://")
_LEAVES = {"kernel": "weight", "gamma": "weight", "beta": "bias"}


def is_preset(name: str) -> bool:
    """Says whether a text names a preset: `keras_nlp:NAME`, `kaggle://...`, or one it ships."""
    if name.startswith((*_PREFIXES, *_SCHEMES)):
        return True
    # Looking it up takes the import of keras-nlp: only where it can be one.
    return "_" in name and "/" not in name and name in _library().models.Backbone.presets


def is_preset_directory(directory: pathlib.Path) -> bool:
    """Says whether keras-nlp wrote a directory."""
    path = directory / CONFIG
    return path.is_file() and "registered_name" in Config.of(path).values


def load_preset(name: str, task: Any = None, dtype: Any = None, labels: Any = None) -> Any:
    """Loads a preset.

    Args:
        name: of the preset, or the path of its directory.
        task: a head or several instead of those that the class offers, or "backbone"; or a task,
            which gets a new head.
        dtype: of the model.
        labels: of the task.

    Raises:
        OSError: the preset can't be had.
        ValueError: it is of a class that is not known here, or has no such head.
    """
    check_labels(task if is_task(task) else None, labels)
    source = str(pathlib.Path(name).resolve()) if pathlib.Path(name).is_dir() else name
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    library = _library()
    try:
        theirs = library.models.Backbone.from_preset(name)
    except Exception as error:  # Of five libraries, according to where it lies.
        raise OSError(
            f"keras-nlp must be able to load the preset. Received: {name}: "
            f"{(str(error).splitlines() or [repr(error)])[0]:.300}"
        ) from error
    kind = BACKBONES.get(type(theirs).__name__)
    if kind is None:
        raise ValueError(
            f"A preset must be of one of the classes {', '.join(BACKBONES)}. "
            f"Received: {name}, a {type(theirs).__name__}"
        )
    family = kind.as_family()
    sizes = {ours: getattr(theirs, size) for ours, size in kind.sizes.items()}
    arguments: dict[str, Any] = {**sizes, **kind.fixed}
    nothing = Config({}, pathlib.Path(name))
    head = new_head(family, nothing, task, labels) if is_task(task) else None
    if task is not None:
        arguments["heads"] = family.heads_of(task if head is None else BACKBONE)
    weights = BackboneWeights(name, theirs, kind)
    make = functools.partial(family.model, **arguments)
    model = filled(make, family, arguments["vocab_size"], weights, dtype)
    with tempfile.TemporaryDirectory() as folder:
        _write_tokenizer(library, name, kind, pathlib.Path(folder))
        known = read_companions(pathlib.Path(folder), nothing, model)
    model.companions = dataclasses.replace(known, source=source, weights=checksums(model, family))
    model.provenance = Provenance(source=pathlib.Path(name).name)
    return model if head is None else head.on(model, nothing.path)


class BackboneWeights(TensorFile):
    """The weights of a keras-nlp backbone, under PyTorch's words; kernels lie as `(in, out)`."""

    def __init__(self, name: str, backbone: Any, kind: Backbone) -> None:
        self._weights, self.infos, self._kind = {}, {}, kind
        for variable in backbone.weights:
            layer, _, leaf = variable.path.rpartition("/")
            today = f"{layer}/{_LEAVES.get(leaf, leaf)}".replace("/", ".")
            self._weights[today] = variable
            shape, dtype = _flat(variable.path, variable.shape), np.dtype("float32")
            shape = (shape[0] + kind.first_rows.get(today, 0), *shape[1:])
            self.infos[today] = TensorInfo(shape, dtype, pathlib.Path(name))
        for table, like in kind.zeros.items():
            info = self.infos[like]
            self.infos[table] = info._replace(shape=(1, *info.shape[1:]))

    def read(self, name: str) -> np.ndarray:
        """Copies a weight, with the heads of an attention side by side."""
        shape = self.infos[name].shape
        if name in self._kind.zeros:
            return np.zeros(shape, "float32")
        value = np.asarray(self._weights[name], dtype="float32")
        value = value.reshape(-1, *shape[1:])
        before = np.zeros((shape[0] - len(value), *shape[1:]), "float32")
        return np.concatenate([before, value]) if len(before) else value

    def close(self) -> None:
        """Lets go of the backbone."""
        self._weights = {}


def _flat(path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Gives the shape of an attention's weight with its heads side by side."""
    if "attention_output/" in path:
        return (int(np.prod(shape[:-1])), shape[-1]) if len(shape) == 3 else tuple(shape)
    if path.endswith(("query/bias", "key/bias", "value/bias")):
        return (int(np.prod(shape)),)
    return (shape[0], int(np.prod(shape[1:]))) if len(shape) == 3 else tuple(shape)


def _write_tokenizer(library: Any, name: str, kind: Backbone, folder: pathlib.Path) -> None:
    """Writes the preset's tokenizer as the files that Hugging Face's libraries read, if it has one.

    It stays what it is in keras-nlp: its BERT lowers case and keeps accents.
    """
    try:
        theirs = library.models.Tokenizer.from_preset(name)
    except Exception:  # A preset may be a backbone alone.
        return
    config = dict(kind.tokenizer)
    if hasattr(theirs, "merges"):
        vocabulary = json.dumps(dict(theirs.vocabulary), ensure_ascii=False)
        (folder / "vocab.json").write_text(vocabulary, encoding="utf-8")
        merges = "\n".join(["#version: 0.2", *theirs.merges]) + "\n"
        (folder / "merges.txt").write_text(merges, encoding="utf-8", newline="\n")
    else:
        vocabulary = "\n".join(theirs.vocabulary) + "\n"
        (folder / "vocab.txt").write_text(vocabulary, encoding="utf-8", newline="\n")
        config["do_lower_case"] = bool(theirs.lowercase)
        config["strip_accents"] = bool(theirs.strip_accents)
        config["tokenize_chinese_chars"] = bool(theirs.split_on_cjk)
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


def _library() -> Any:
    # It takes a second to import, and most models are none of its presets.
    return importlib.import_module("keras_nlp")
