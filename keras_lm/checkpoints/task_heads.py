"""Tasks by their architectures: which class, which labels, which fields of config.json."""

from collections.abc import Callable
from typing import Any

from keras_lm.checkpoints.config import Config
from keras_lm.checkpoints.family import Family
from keras_lm.tasks import TASKS, Task

# Behind the family's title, `Bert` or `GPT2`.
ENDINGS = {
    "ForSequenceClassification": "text_classification",
    "ForTokenClassification": "token_classification",
    "ForQuestionAnswering": "question_answering",
}
# Theirs -> ours.
PROBLEMS = {
    "single_label_classification": "single_label",
    "multi_label_classification": "multi_label",
    "regression": "regression",
}


def task_named(family: Family, config: Config, task: Any) -> str | None:
    """Finds the task that is asked for, or that config.json names; None where it is none.

    Args:
        family: of the model beneath.
        config: its `architectures` count where nothing is asked for.
        task: as `load` takes it.
    """
    if task is not None:
        return task if isinstance(task, str) and task in TASKS else None
    named = config.get("architectures", None)
    first = str(named[0]) if isinstance(named, list) and named else ""
    return ENDINGS.get(first.removeprefix("TF").removeprefix(family.title))


def task_maker(
    family: Family, config: Config, arguments: dict[str, Any], task: str
) -> Callable[..., Task]:
    """Gives a function that makes the task, on a model of its own.

    Args:
        family: of the model beneath.
        config: labels, problem and rate of dropout are read here.
        arguments: of the model beneath.
        task: one of `ENDINGS`.

    Raises:
        ValueError: labels or a problem that are none.
    """
    own: dict[str, Any] = {}
    if task in family.dropouts and config.get(family.dropouts[task], None) is not None:
        own["dropout_rate"] = config.number(family.dropouts[task], 0.0)
    if task != "question_answering":
        own["labels"] = _labels(config)
    if task == "text_classification":
        own["problem"] = _problem(config, len(own["labels"]))

    def make(dtype: Any = None) -> Task:
        return TASKS[task](family.model(**{**arguments, "heads": ()}, dtype=dtype), **own)

    return make


def task_fields(family: Family, model: Task) -> dict[str, Any]:
    """Gives the fields of config.json that say what a task is."""
    (task,) = (name for name, kind in TASKS.items() if type(model) is kind)
    (ending,) = (ending for ending, name in ENDINGS.items() if name == task)
    fields: dict[str, Any] = {"architectures": [family.title + ending]}
    if hasattr(model, "labels"):
        fields["id2label"] = {str(i): name for i, name in enumerate(model.labels)}
        fields["label2id"] = {name: i for i, name in enumerate(model.labels)}
    if hasattr(model, "problem"):
        theirs = {ours: theirs for theirs, ours in PROBLEMS.items()}
        fields["problem_type"] = theirs[model.problem]
    if task in family.dropouts:
        fields[family.dropouts[task]] = model.dropout_rate
    return fields


def _labels(config: Config) -> tuple[str, ...]:
    """Gives the names of the classes in their order; without names there are two."""
    names = config.get("id2label", None)
    if names is None:
        return tuple(f"LABEL_{i}" for i in range(config.size("num_labels", 2)))
    if not isinstance(names, dict) or sorted(names) != sorted(map(str, range(len(names)))):
        config.refuse("id2label", "id2label must name each class by its number, from 0 on.")
    return tuple(names[str(i)] for i in range(len(names)))


def _problem(config: Config, num_labels: int) -> str:
    """Gives the problem; where nothing is said Transformers takes a single label to be a number."""
    problem = config.get("problem_type", None)
    if problem is None:
        return "regression" if num_labels == 1 else "single_label"
    if problem not in PROBLEMS:
        config.refuse("problem_type", f"problem_type must be one of {', '.join(PROBLEMS)}.")
    return PROBLEMS[problem]
