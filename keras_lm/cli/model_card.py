"""README.md of a fine-tuned directory: what it is for and learnt from, its figures, its limits.

After Mitchell et al. 2019, "Model Cards for Model Reporting", arXiv:1810.03993, section 4; the head
of the file is what the Hugging Face hub reads. It says what is known here: where the texts come
from, and whom a wrong answer harms, is for who publishes the model.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

CARD = "README.md"
# As the hub names the tasks.
_HUB = {
    "text_classification": "text-classification",
    "token_classification": "token-classification",
    "text_embedding": "sentence-similarity",
    "question_answering": "question-answering",
    "translation": "translation",
    "summarization": "summarization",
}
_SHOWN_LABELS = 50


class DataFile(NamedTuple):
    """What was read of a file.

    Attributes:
        name: of the file, without its folder.
        counts: by what was counted.
    """

    name: str
    counts: Mapping[str, int]


def model_card(
    task: str,
    model: Any,
    *,
    beneath: str,
    files: Sequence[DataFile],
    settings: Mapping[str, Any],
    figures: Mapping[str, Any],
) -> str:
    """The text of the card.

    Args:
        task: as in `keras_lm.tasks.TASKS`.
        model: the task, trained.
        beneath: what it was fine-tuned from, as the user named it.
        files: of the training, and of the validation where there is one.
        settings: of the training, by name; None: not given.
        figures: of the validation file; empty without one.
    """
    return "\n".join(_lines(task, model, beneath, files, settings, figures)) + "\n"


def _lines(
    task: str,
    model: Any,
    beneath: str,
    files: Sequence[DataFile],
    settings: Mapping[str, Any],
    figures: Mapping[str, Any],
) -> Iterator[str]:
    kind = type(model).__name__
    yield from ("---", "library_name: keras", f"pipeline_tag: {_HUB[task]}", "---", "")
    yield from (f"# {kind} on {model.backbone.model.__name__}", "")
    yield f"Fine-tuned from `{beneath}`, {model.count_params():,} parameters."
    labels = getattr(model, "labels", None)
    if labels is not None:
        shown = ", ".join(f"`{name}`" for name in labels[:_SHOWN_LABELS])
        more = f" and {len(labels) - _SHOWN_LABELS} more" if len(labels) > _SHOWN_LABELS else ""
        yield f"{len(labels)} labels, class 0 first: {shown}{more}."
    yield from ("", "```python", "import keras_lm", "", 'model = keras_lm.load("DIRECTORY")')
    yield from ('model.predict(["..."])', "```", "", "## Data", "")
    for place, file in zip(("Training", "Validation"), files, strict=False):
        counts = ", ".join(f"{value:,} {name}" for name, value in file.counts.items())
        yield f"- {place}: `{file.name}`, {counts}."
    given = ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)
    yield from ("", f"Settings: {given}.", "", "## Figures", "")
    if figures:
        yield from (f"Of the validation file `{files[1].name}`:", "", "| | |", "|---|---|")
        for name, value in figures.items():
            if not isinstance(value, float):
                yield f"| {name} | {value} |"
            else:
                yield f"| {name} | {'no number' if math.isnan(value) else f'{value:.4f}'} |"
        if settings.get("patience") is not None:
            yield from ("", "The epoch was chosen by this file: of other texts they may be lower.")
    else:
        yield "None: there was no validation file."
    yield from ("", "## Limits", "", *_limits(task, model))


def _limits(task: str, model: Any) -> Iterator[str]:
    yield f"- It reads {model.max_length} tokens of a text at most; what is longer loses its end."
    if task == "text_classification" and model.problem == "single_label":
        yield "- Each text gets one of the labels, one of another kind or language too."
    if task in ("translation", "summarization"):
        yield "- What it writes can be fluent and wrong, and can say what is not in the text."
    yield "- Figures are of texts like those of that file; of other texts nothing was measured."
    yield "- Nobody looked for differences between groups of people, unless it is said above."
