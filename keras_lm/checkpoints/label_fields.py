"""What config.json says of classes: their names, and whether a text has one of them or several."""

from collections.abc import Sequence
from typing import Any

from keras_lm.checkpoints.config import Config
from keras_lm.tasks.labels import label_names

PROBLEMS = {
    "single_label_classification": "single_label",
    "multi_label_classification": "multi_label",
    "regression": "regression",
}
_THEIRS = {ours: theirs for theirs, ours in PROBLEMS.items()}
LABEL_FIELDS = ("id2label", "label2id", "num_labels", "problem_type")


def labels_of(config: Config) -> tuple[str, ...] | None:
    """Reads the names of the classes, in their order; None where there are none.

    Raises:
        ValueError: the classes are not numbered 0, 1, 2 ..., two have the same name, or `label2id`
            says otherwise.
    """
    by_id, by_label = config.get("id2label", None), config.get("label2id", None)
    number = config.get("num_labels", None)
    if by_id is None:
        return None if number is None else label_names(config.size("num_labels", 2))
    names = _in_order(by_id)
    if names is None or len(set(names)) < len(names):
        config.refuse("id2label", "id2label must name the classes 0, 1, 2 ... without a gap.")
    if isinstance(by_label, dict):
        wrong = [name for i, name in enumerate(names) if by_label.get(name, i) != i]
        if wrong:
            config.refuse("label2id", f"label2id must say of {wrong[0]!r} what id2label says.")
    return names


def _in_order(by_id: Any) -> tuple[str, ...] | None:
    """Gives the names by their numbers, or None if these have gaps or those are no names."""
    if not isinstance(by_id, dict):
        return None
    found = [by_id.get(str(i), by_id.get(i)) for i in range(len(by_id))]
    names = tuple(name for name in found if isinstance(name, str) and name)
    return names if names and len(names) == len(found) else None


def problem_of(config: Config, number: int) -> str:
    """Reads what the classes are for, by our name.

    Args:
        config: of the directory. Without a `problem_type` one class is a number, as Transformers
            has it, and several exclude each other.
        number: of classes.

    Raises:
        ValueError: it is unknown, or one class is to be chosen from one.
    """
    theirs = config.get("problem_type", None)
    if theirs is None:
        return "regression" if number == 1 else "single_label"
    if theirs not in PROBLEMS:
        config.refuse("problem_type", f"problem_type must be one of {', '.join(PROBLEMS)}.")
    if PROBLEMS[theirs] == "single_label" and number == 1:
        config.refuse("problem_type", "problem_type must be another one where there is one class.")
    return PROBLEMS[theirs]


def label_fields(labels: Sequence[str], problem: str | None) -> dict[str, Any]:
    """Gives the fields of config.json for classes."""
    fields: dict[str, Any] = {
        "id2label": {str(i): name for i, name in enumerate(labels)},
        "label2id": {name: i for i, name in enumerate(labels)},
    }
    return fields if problem is None else {**fields, "problem_type": _THEIRS[problem]}
