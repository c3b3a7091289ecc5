"""Reads models: files of Keras, directories of Hugging Face and Google, hub names, presets."""

import dataclasses
import os
import pathlib
import warnings
import zipfile
from collections.abc import Iterable
from typing import Any

import keras

# Registers every class with Keras, so that a .keras file needs no custom_objects.
import keras_lm.models
import keras_lm.tasks
from keras_lm.checkpoints import hub
from keras_lm.checkpoints.adapted_head import adapted_head, brings_head
from keras_lm.checkpoints.config import CONFIG, Config, provenance_of
from keras_lm.checkpoints.directory import load_directory
from keras_lm.checkpoints.family import BACKBONE
from keras_lm.checkpoints.keras_nlp_presets import is_preset, is_preset_directory, load_preset
from keras_lm.checkpoints.lora import (
    ADAPTER_CONFIG,
    adapter_config,
    is_adapter_directory,
    load_lora,
)
from keras_lm.checkpoints.replacing import finish_interrupted
from keras_lm.checkpoints.task_heads import TARGET_TASKS, WITH_HEADS, WITH_LABELS, TaskHead
from keras_lm.tasks import TASKS, Task
from keras_lm.training import LanguageModel
from keras_lm.training.provenance import Provenance


def load(
    path_or_name: str | os.PathLike,
    task: Any = None,
    dtype: Any = None,
    *,
    labels: Iterable[str] | int | None = None,
) -> LanguageModel:
    """Loads a model with its weights, its tokenizer and what else lies beside it.

    In this order:

    - a `.keras` file, as `model.save` writes it;
    - a directory of LoRA adapters, as PEFT and `save` write it: the model that it names in
      adapter_config.json, with `load_lora`;
    - a directory of Hugging Face's layout: config.json with model.safetensors, one or several, or
      tf_model.h5;
    - a directory of Google's own BERT, bert_config.json with bert_model.ckpt.*, or ELECTRA, whose
      checkpoint holds two models: the discriminator, and by `task="masked_lm"` the generator;
    - a preset of keras-nlp: `keras_nlp:NAME`, a name that it ships ("bert_base_en_uncased"), or the
      directory of one; the numbers are those of its backbone;
    - a model of the Hugging Face hub, with the extra `hub`: its cache, its tokens and
      HF_HUB_OFFLINE count.

    The heads are those of the architecture that config.json names; one without a head gives
    `heads=()`. `...ForSequenceClassification`, `...ForTokenClassification` and
    `...ForQuestionAnswering` give a task on the model: `TextClassifier`, `TokenClassifier`,
    `QuestionAnswering`, with the labels and the problem type of config.json. A saved `Translator`
    or `Summarizer` comes back as one; `task="translation"` or `"summarization"` makes one of any
    encoder and decoder. What sentence-transformers wrote, with a
    modules.json, gives a `TextEmbedder`.

    Every tensor is used or named in a warning; every field of config.json that changes the
    computation is honoured, or refused by name.

    Args:
        path_or_name: a path, or a name such as "google-bert/bert-base-uncased".
        task: a head or several ("masked_lm", "causal_lm", ...) to load instead of those that
            config.json names; "backbone": none of them; "text_classification",
            "token_classification" or "question_answering": a task, which gets a new head, and a
            warning that it must be trained, where nothing has one; "text_embedding": the mean of
            the hidden states, where no file says otherwise. None: as config.json says.
        dtype: of the model, as Keras names it ("bfloat16", "mixed_float16", ...), whatever that of
            the file is. None: the global one, which is float32 by default.
        labels: names of a task's classes, or their number, where config.json has none but LABEL_0
            and so on.

    Returns:
        The model.

    Raises:
        FileNotFoundError: there is no such file, directory or model, or it lacks a file.
        ConnectionError: the hub is not reached, and its cache lacks the model.
        OSError: keras-nlp can't load the preset.
        ImportError: a name of the hub, and `huggingface_hub` is not installed.
        ValueError: what is there can't be read, contradicts itself, or is a model of another kind.
    """
    path = pathlib.Path(path_or_name)
    if path.is_dir():
        if is_adapter_directory(path):
            return _load_adapted(path, task, dtype, labels)
        if is_preset_directory(path):
            return load_preset(str(path), task, dtype, labels)
        return load_directory(path, task, dtype, labels)
    if not path.exists():
        name = path_or_name if isinstance(path_or_name, str) and path.suffix != ".keras" else ""
        if name and is_preset(name):
            return load_preset(name, task, dtype, labels)
        if hub.is_name(name):
            model = load_directory(hub.download(name), task, dtype, labels)
            model.companions = dataclasses.replace(model.companions, source=name)
            if not model.provenance.trainings:
                model.provenance = dataclasses.replace(model.provenance, source=name)
            return model
        raise FileNotFoundError(
            "load takes a .keras file, a model's directory or the name of a model on the hub. "
            f"Received: {path}, which does not exist"
        )
    if (task, dtype, labels) != (None, None, None):
        raise ValueError(
            "A .keras file has its own heads, dtype and labels. "
            f"Received: {path} with task={task!r}, dtype={dtype!r}, labels={labels!r}"
        )
    return _load_keras(path)


def _load_adapted(path: pathlib.Path, task: Any, dtype: Any, labels: Any) -> LanguageModel:
    """Loads the model that adapters were trained on, and them."""
    finish_interrupted(path)
    base = adapter_config(path).get("base_model_name_or_path", None)
    if not isinstance(base, str) or not base:
        raise ValueError(
            "Adapters must say what they were trained on; otherwise load that first, and give it "
            f"to keras_lm.load_lora(model, {str(path)!r}). Received: {path / ADAPTER_CONFIG} with "
            f"base_model_name_or_path={base!r}"
        )
    if (path / base).is_dir():
        base = str(path / base)
    head = adapted_head(path, task, labels)
    if not isinstance(head, TaskHead):
        adapted = load(base, head, dtype)
        load_lora(adapted, path)
        return adapted
    # Whole, so that no warning names the head whose place the task's takes.
    beneath: Any = load(base, "seq2seq" if head.name in TARGET_TASKS else None, dtype)
    adapted = beneath
    if not (path / CONFIG).is_file() and type(beneath) is TASKS[head.name]:
        # PEFT's: the head lies with the model.
        if head.options.get("labels") and labels is not None:
            adapted = load(base, head.name, dtype, labels=labels)
    elif not _is_that_task(beneath, head):
        if head.name in WITH_HEADS and not brings_head(path):
            if type(beneath) is not TASKS[head.name]:
                raise ValueError(
                    "A task's head must lie with its adapters or with the model that they were "
                    f"trained on. Received: {path} and {base}, without one"
                )
            # The head beneath is theirs, by other names of its classes.
            adapted = load(base, head.name, dtype, labels=head.options.get("labels"))
        else:
            if head.name in WITH_LABELS and "labels" not in head.options:
                raise ValueError(
                    "The classes of a head must be named or counted. "
                    f"Received: {path}, with neither; labels=None"
                )
            if isinstance(beneath, Task):
                with warnings.catch_warnings():
                    # Whatever head is beneath, its place is taken by that of the adapters.
                    warnings.filterwarnings("ignore", message=".*left out")
                    beneath = load(base, BACKBONE, dtype)
            adapted = TASKS[head.name](beneath, **head.options)
    load_lora(adapted, path)
    if (path / CONFIG).is_file():
        known = provenance_of(Config.of(path / CONFIG))
        adapted.provenance = known if known != Provenance() else adapted.provenance
    return adapted


def _is_that_task(model: Any, head: TaskHead) -> bool:
    """Says whether a model is what the adapters' own config.json says."""
    known = model.constructor_arguments
    same = all(known.get(name) == value for name, value in head.options.items())
    return type(model) is TASKS[head.name] and same


def _load_keras(path: pathlib.Path) -> LanguageModel:
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise ValueError(
            "load takes a .keras file, as model.save writes it, or a model's directory. "
            f"Received: {path}"
        )
    try:
        model = keras.saving.load_model(path)
    except KeyError as error:
        raise ValueError(
            f"load takes a .keras file. Received: {path}, which lacks {error}"
        ) from None
    if not isinstance(model, LanguageModel):
        raise ValueError(
            f"The file must hold one of {', '.join(keras_lm.models.MODELS)}, or a task. "
            f"Received: {path}, with a {type(model).__name__}"
        )
    if not model.built:
        raise ValueError(f"The file must hold weights. Received: {path}, without them")
    return model
