"""Writes a model as a directory that Transformers and every safetensors tool open."""

import dataclasses
import itertools
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from keras_lm.checkpoints.base_weights import BASE, changed, checksums, said_of
from keras_lm.checkpoints.companions import (
    Companions,
    companion_files,
    ids_of,
    is_tokenizer_file,
)
from keras_lm.checkpoints.config import CONFIG, PROVENANCE
from keras_lm.checkpoints.embedding_modules import MODULES, module_files
from keras_lm.checkpoints.families import architecture_of, family_of_model
from keras_lm.checkpoints.family import Family
from keras_lm.checkpoints.lora import ADAPTER_CONFIG, adapter_files, is_adapter_directory
from keras_lm.checkpoints.matching import FLOATS
from keras_lm.checkpoints.model_card import CARD, may_be_replaced, model_card
from keras_lm.checkpoints.replacing import Writer, holding, replace_files
from keras_lm.checkpoints.safetensors_writing import is_weight_file, size_in_bytes, weight_files
from keras_lm.checkpoints.task_heads import task_fields, travelling
from keras_lm.checkpoints.transfer import is_prefixed, tensors_to_write
from keras_lm.tasks import Task, TextEmbedder

# Arguments that say how a model is used here, not what it is.
_NOT_SIZES = ("heads", "tokenizer", "name", "dtype", "trainable", "embedding")


def save(
    model: Any,
    directory: str | os.PathLike,
    *,
    dtype: str | None = None,
    max_shard_size: int | str = "5GB",
    lora: str = "adapters",
) -> pathlib.Path:
    """Writes config.json, the weights as safetensors, the tokenizer's files, and a card.

    What a Hugging Face architecture can say is saved as that architecture, with its names; the rest
    in the same layout with `model_type: keras_lm_...`. What `load` found beside the weights is
    written back: `id2label`, special ids, generation_config.json, the tokenizer as it came. Beside
    a `TextEmbedder` there is what sentence-transformers reads: modules.json, 1_Pooling/config.json.

    Of a model behind `add_lora` what was trained alone is written, in PEFT's format:
    adapter_config.json, which names the directory that the model was loaded from or saved to, and
    adapter_model.safetensors; or, with `lora="merged"`, the whole model with the adapters added.
    What is beneath adapters must lie in that directory as it is.

    README.md is the model's card: what it is, the data and the scores that are known of it
    (`model.provenance`), its limits. One that somebody wrote or changed stays as it is.

    Files of other names in the directory stay as they are. Whatever interrupts it, the directory
    holds the old model or the new one. One process at a time may save to a directory.

    Args:
        model: a `BERT`, `GPT` or another model that `load` gives, or a task on one of them.
        directory: where to; made where it is missing.
        dtype: of the weights in the file: "float32", "float16", "bfloat16" or "float64". None:
            that of the model's weights.
        max_shard_size: bytes of weights in a file; more make several files and an index.
        lora: "adapters" or "merged"; for a model with adapters alone.

    Returns:
        The directory.

    Raises:
        ValueError: a model of another kind, a wrong dtype or size, or weights that are too large
            for the dtype; adapters and a whole model in one directory; adapters on weights that
            were changed and not saved.
        OSError: what the file system says.
    """
    family = family_of_model(model)
    size_in_bytes(max_shard_size)
    if dtype not in (None, *FLOATS):
        raise ValueError(f"dtype must be None or of {', '.join(FLOATS)}. Received: {dtype!r}")
    directory = pathlib.Path(directory)
    if directory.exists() and not directory.is_dir():
        raise NotADirectoryError(f"save writes into a directory. Received: {directory}, a file")
    if lora not in ("adapters", "merged"):
        raise ValueError(f'lora must be "adapters" or "merged". Received: lora={lora!r}')
    if not model.built:
        model.build()
    adapters = model.has_lora and lora == "adapters"
    _check_kind(directory, adapters)
    if adapters:
        _check_beneath(model, family)
    if model.has_lora and not adapters:
        model = model.merge_lora()
    companions = companion_files(model)
    replaced = any(is_tokenizer_file(name) for name in companions)

    def stale(name: str) -> bool:
        # `load` takes what has modules.json for an embedder.
        is_tokenizers = replaced and is_tokenizer_file(name)
        return is_weight_file(name) or is_tokenizers or name == MODULES

    files: Iterator[tuple[str, Writer]] = _files(model, family, companions, dtype, max_shard_size)
    if may_be_replaced(directory / CARD):
        files = itertools.chain([(CARD, holding(model_card(model)))], files)
    replace_files(directory, files, stale)
    if not model.has_lora:
        _note_base(model, family, directory, dtype)
    return directory


def _check_beneath(model: Any, family: Family) -> None:
    """Keeps adapters from naming a model that is not the one beneath them."""
    known: Companions = getattr(model, "companions", Companions())
    if known.source is None:
        return  # They name none: who loads them says on what.
    others = changed(model, family, known.weights)
    if others:
        raise ValueError(
            "Adapters name the directory of the model beneath, so that its weights must lie there "
            'as they are: save all of it, with lora="merged"; or, where the whole model is trained '
            "before add_lora, save it before, too. "
            f"Received: {known.source}, which has other values of {', '.join(others[:3])}"
            + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        )


def _note_base(model: Any, family: Family, directory: pathlib.Path, dtype: str | None) -> None:
    """Lets adapters name a directory that now has all weights as they are.

    The one that they named before stays where it has them, too: of a copy fewer people know.
    """
    if dtype not in (None, *{tf.as_dtype(weight.dtype).name for weight in model.weights}):
        return
    known: Companions = getattr(model, "companions", Companions())
    weights = checksums(model, family)
    if known.source is None or any(known.weights.get(n) != sum_ for n, sum_ in weights.items()):
        source = str(directory.resolve())
        model.companions = dataclasses.replace(known, source=source, weights=weights)


def _check_kind(directory: pathlib.Path, adapters: bool) -> None:
    """Keeps adapters and whole models apart: who reads a directory could not tell what counts."""
    if not directory.is_dir():
        return
    whole = [path.name for path in directory.iterdir() if is_weight_file(path.name)]
    if whole if adapters else is_adapter_directory(directory):
        raise ValueError(
            "Adapters need a directory of their own, beside that of a whole model. Received: "
            f"{directory} with {whole[0] if adapters else ADAPTER_CONFIG}"
        )


def config_of(model: Any, family: Family, dtype: str | None = None) -> dict[str, Any]:
    """Gives the fields of config.json."""
    task = isinstance(model, Task)
    given = model.backbone.arguments if task else model.constructor_arguments
    values = {name: value for name, value in given.items() if name not in _NOT_SIZES}
    headed = task_fields(family, model) if task else _architectures(family, model)
    sayable = headed and family.says_all(values)
    fields = family.fields(values) if sayable else None
    companions: Companions = getattr(model, "companions", Companions())
    ids = {} if model.tokenizer is companions.tokenizer else ids_of(model)
    known = {**companions.fields, **ids}
    known = travelling(model, known) if task else known
    dtype = dtype or tf.as_dtype(model.weights[0].dtype).name
    if fields is None:
        own = {**values, "heads": [] if task else list(model.heads)}
        fields = {"model_type": family.own_type, "arguments": own}
        headed = headed if task else {}
    else:
        fields["model_type"] = family.model_type
    provenance = model.provenance.as_json()
    ours: dict[str, Any] = {PROVENANCE: provenance} if provenance else {}
    if model.has_lora:
        ours[BASE] = said_of(model)
    return {**known, **fields, **headed, **ours, "torch_dtype": dtype}


def _architectures(family: Family, model: Any) -> dict[str, Any]:
    name = architecture_of(family, model)
    return {"architectures": [name]} if name else {}


def _files(
    model: Any,
    family: Family,
    companions: dict[str, bytes],
    dtype: str | None,
    max_shard_size: int | str,
) -> Iterator[tuple[str, Writer]]:
    config = config_of(model, family, dtype)
    for name, content in companions.items():
        yield name, holding(content)
    yield CONFIG, holding(json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    if isinstance(model, TextEmbedder):
        yield from module_files(model)
    if model.has_lora:
        yield from adapter_files(model, dtype)
        return
    tensors = tensors_to_write(model, family, is_prefixed(model), dtype)
    yield from weight_files(tensors, max_shard_size)
