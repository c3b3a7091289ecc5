"""The heads of tasks: which one a directory has, with which labels, and what is written of it.

A `BertForSequenceClassification` there is a `TextClassifier` on a `BERT` here.
"""

import dataclasses
import pathlib
import warnings
from collections.abc import Mapping
from typing import Any

from keras_lm.checkpoints.config import Config
from keras_lm.checkpoints.embedding_modules import MODULES, embedder_options
from keras_lm.checkpoints.family import Family
from keras_lm.checkpoints.label_fields import LABEL_FIELDS, label_fields, labels_of, problem_of
from keras_lm.checkpoints.matching import names_in
from keras_lm.checkpoints.tensors import TensorFile
from keras_lm.tasks import TASKS, Task
from keras_lm.tasks.labels import label_names

# Behind the family's title, `Bert` or `GPT2`.
ENDINGS = {
    "ForSequenceClassification": "text_classification",
    "ForTokenClassification": "token_classification",
    "ForQuestionAnswering": "question_answering",
}
# The last layer of each task, which no file without the task has.
_LAST = {
    "text_classification": "classifier/",
    "token_classification": "token_classifier/",
    "question_answering": "span/",
}
# Tasks over an encoder and a decoder: their head is the token table. config.json names them, and
# how they decode, in a field of its own beside BART's architecture.
TARGET_TASKS = ("translation", "summarization")
TASK_FIELD = "keras_lm_task"
_TARGET_ENDING = "ForConditionalGeneration"
_PARAMS = "task_specific_params"
_ANSWERING = (
    "max_answer_length",
    "no_answer_threshold",
    "max_question_length",
    "stride",
    "max_windows",
)
# A model without a head, and what stands in files of its own.
_EMBEDDING = "text_embedding"
WITH_LABELS = ("text_classification", "token_classification")
WITH_HEADS = tuple(_LAST)  # of weights of their own


@dataclasses.dataclass(frozen=True)
class TaskHead:
    """The head that a model is loaded with.

    Attributes:
        name: of the task.
        options: of the task's constructor.
        trained: whether the head is in the file.
        arguments: of the model's constructor, that the head brings along.
    """

    name: str
    options: Mapping[str, Any]
    trained: bool
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def make(self, family: Family, arguments: Mapping[str, Any], dtype: Any = None) -> Task:
        """Makes the task on a model without weights, for a file that has those of both."""
        given = {**arguments, **self.arguments, "heads": ()}
        model = family.model(**given, dtype=dtype)
        return TASKS[self.name](model, **self.options)

    def on(self, model: Any, path: pathlib.Path) -> Task:
        """Makes the task of a model that has learnt, with a head that has not, and says so."""
        options = dict(self.options)
        if "max_length" in options:
            options["max_length"] = min(options["max_length"], model.max_length)
        task = TASKS[self.name](model, **options)
        task.build()
        if self.name == _EMBEDDING:
            return task  # It has no weights of its own.
        warnings.warn(
            f"{path} has no head for {self.name}: it is new and has to be trained.", stacklevel=2
        )
        return task


def task_head(
    family: Family, config: Config, file: TensorFile, task: Any = None, labels: Any = None
) -> TaskHead | None:
    """Finds the head that a directory is loaded with.

    Args:
        family: of the model beneath.
        config: of the directory: its architecture, what classes are called and what they are for.
        file: with the weights.
        task: what is wanted: a task, or something else. None: what the directory has.
        labels: names of classes, or their number, where the directory has no head or no names.

    Returns:
        The head, or None where no task is wanted.

    Raises:
        ValueError: the directory has the head of another task, or names that contradict each other,
            the weights or `labels`; labels are missing, or not needed; the family has no such task.
    """
    named = config.get("architectures", None)
    own = task_of(family, config)
    wanted = own if task is None else task if is_task(task) else None
    check_labels(wanted, labels)
    if wanted is None:
        return None
    if wanted in TARGET_TASKS:
        return _target_head(family, config, file, wanted)
    if wanted == _EMBEDDING and own in (None, _EMBEDDING):
        return TaskHead(wanted, embedder_options(config.path.parent), trained=False)
    if wanted != _EMBEDDING and _LAST[wanted] not in family.names:
        raise ValueError(
            f"A {family.title} must be loaded for another task. Received: task={wanted!r}"
        )
    if own not in (None, _EMBEDDING, wanted):
        config.refuse(
            "architectures",
            f"What was trained for {own} has no head for {wanted}; load it with "
            f'task="backbone" for a new {TASKS[wanted].__name__}.',
        )
    last = family.names_of(f"{_LAST[wanted]}kernel")[0]
    if own in (None, _EMBEDDING) and (named or last not in names_in(file)):
        return new_head(family, config, wanted, labels)
    names = None
    if wanted in WITH_LABELS:
        names = _trained_labels(config, file, last, labels)
    return TaskHead(wanted, _options(family, config, wanted, names), trained=True)


def task_of(family: Family, config: Config) -> str | None:
    """Gives the task that the architecture of config.json is for, or None."""
    said = config.get(TASK_FIELD, None)
    if isinstance(said, dict) and said.get("name") in TARGET_TASKS:
        return said["name"]
    named = config.get("architectures", None)
    first = str(named[0]) if isinstance(named, list) and named else ""
    own = ENDINGS.get(first.removeprefix("TF").removeprefix(family.title))
    if own is None and (config.path.parent / MODULES).is_file():
        return _EMBEDDING
    return own


def _target_head(family: Family, config: Config, file: TensorFile, name: str) -> TaskHead:
    """Gives the head of a translator or a summarizer; every encoder-decoder's file has it."""
    ending = task_of(family, config)
    if "seq2seq" not in family.model.HEADS:
        raise ValueError(
            f"A {TASKS[name].__name__} stands on an encoder and a decoder. "
            f"Received: task={name!r} for a {family.title}"
        )
    if ending not in (None, *TARGET_TASKS):
        config.refuse(
            "architectures",
            f'What was trained for {ending} is another model; load it with task="backbone".',
        )
    present = names_in(file)
    optional = {ours: theirs in present for ours, theirs in family.optional_with_heads.items()}
    return TaskHead(name, target_options(config), trained=True, arguments=optional)


def target_options(config: Config) -> dict[str, Any]:
    """Reads how a translator or a summarizer decodes, of what `save` wrote."""
    said = config.get(TASK_FIELD, None)
    options = {key: value for key, value in (said or {}).items() if key != "name"}
    known = TASKS["translation"].DECODING  # type: ignore[attr-defined]
    if set(options) - set(known):
        config.refuse(TASK_FIELD, f"{TASK_FIELD} must say name, {', '.join(known)}.")
    return options


def new_head(family: Family, config: Config, name: str, labels: Any = None) -> TaskHead:
    """Gives a head for what has none; see `task_head`.

    Raises:
        ValueError: labels are missing.
    """
    names = None
    if name in WITH_LABELS:
        names = labels_of(config) if labels is None else label_names(labels)
        if names is None:
            raise ValueError(
                f"A new head for {name} needs labels=[...], the names of its classes. "
                f"Received: labels=None, and {config.path} names none"
            )
    return TaskHead(name, _options(family, config, name, names), trained=False)


def is_task(task: Any) -> bool:
    """Says whether a text names a task, and no heads of a model."""
    return isinstance(task, str) and task in TASKS


def check_labels(name: str | None, labels: Any) -> None:
    """Raises for labels of what has none.

    Args:
        name: of the task, or None.
        labels: as `load` takes them.

    Raises:
        ValueError: there are labels, and no task with labels.
    """
    if labels is not None and name not in WITH_LABELS:
        raise ValueError(
            f"labels are for {' and '.join(WITH_LABELS)}. "
            f"Received: labels={labels!r} for {name or 'a model without a task'}"
        )


def _trained_labels(config: Config, file: TensorFile, last: str, labels: Any) -> tuple[str, ...]:
    """Gives the names of the classes of a head that is in the file."""
    info = file.infos.get(names_in(file).get(last, ""))
    own = labels_of(config)
    number = len(own or (0, 1)) if info is None else info.shape[0]
    if own is not None and len(own) != number:
        field = "num_labels" if config.get("id2label", None) is None else "id2label"
        config.refuse(field, f"{field} must be of the {number} classes that {last} has.")
    generic = label_names(number)
    own = own or generic
    wanted = own if labels in (None, number) else label_names(labels)
    if len(wanted) != number or own not in (wanted, generic):
        config.refuse("id2label", f"What is loaded must have the classes {wanted}.")
    return wanted


def _options(
    family: Family, config: Config, name: str, labels: tuple[str, ...] | None
) -> dict[str, Any]:
    if name in TARGET_TASKS:
        return target_options(config)
    options: dict[str, Any] = {} if labels is None else {"labels": labels}
    if name == "question_answering":
        options |= _answering(config)
    if name == "text_classification":
        options["problem"] = problem_of(config, len(labels or ()))
    field = family.dropouts.get(name)
    if field is not None and config.get(field, None) is not None:
        options["dropout_rate"] = config.number(field, 0.0)
    return options


def _answering(config: Config) -> dict[str, Any]:
    """How strings are answered; Transformers leaves a task's own numbers alone."""
    params = config.get(_PARAMS, None)
    own = params.get("question_answering") if isinstance(params, dict) else None
    if not isinstance(own, dict):
        return {}
    return {name: own[name] for name in _ANSWERING if name in own}


def task_fields(family: Family, task: Task) -> dict[str, Any]:
    """Gives the fields of config.json that say what a task is."""
    (name,) = (name for name, kind in TASKS.items() if type(task) is kind)
    if name in TARGET_TASKS:
        said = {"name": name, **task.decoding}
        return {"architectures": [family.title + _TARGET_ENDING], TASK_FIELD: said}
    if name == _EMBEDDING:
        return {"architectures": [f"{family.title}Model"]}
    (ending,) = (ending for ending, named in ENDINGS.items() if named == name)
    fields: dict[str, Any] = {"architectures": [family.title + ending]}
    if name == "question_answering":
        fields[_PARAMS] = {name: {option: getattr(task, option) for option in _ANSWERING}}
    if hasattr(task, "labels"):
        fields |= label_fields(task.labels, getattr(task, "problem", None))
    if name in family.dropouts:
        fields[family.dropouts[name]] = task.dropout_rate
    elif task.dropout_rate != task.family_dropout_rate:
        warnings.warn(
            f"A {fields['architectures'][0]} has no field for the dropout before its last layer; "
            f"dropout_rate={task.dropout_rate} is not saved.",
            stacklevel=2,
        )
    return fields


def travelling(task: Task, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the fields that came with the model beneath and stay true of the task.

    Args:
        task: to be saved.
        fields: special ids, labels of what the model was before, and so on.
    """
    kept = {name: value for name, value in fields.items() if name not in LABEL_FIELDS}
    end = kept.get("eos_token_id")
    alone = not hasattr(task, "encoder")
    if alone and kept.get("pad_token_id") is None and isinstance(end, int):
        # Transformers finds GPT's last token by it, and reads one row at a time without it.
        kept["pad_token_id"] = end
    return kept
