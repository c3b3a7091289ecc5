"""A fine-tuned model and labelled files to the figures of the field."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_lm.data.labelled_texts import read_labelled, reader_of
from keras_lm.data.table_rows import Files, Values
from keras_lm.tasks.asking import answers
from keras_lm.tasks.figures import Figures, class_figures, label_figures, number_figures
from keras_lm.tasks.text_classifier import TextClassifier


def evaluate(
    model: Any,
    files: Files | None = None,
    *,
    rows: Iterable[Values] | None = None,
    batch_size: int | None = None,
    verbose: Any = "auto",
    **reading: Any,
) -> Figures:
    """Reads labelled texts, asks the model as `predict` does, and counts.

    Every row counts, those that are too long by their start; so do the figures of an export.

    Args:
        model: a built `TextClassifier` with its tokenizer.
        files: as `keras_lm.data.classification` takes them.
        rows: dicts in place of files, as there.
        batch_size: texts that are read at once. None: 32.
        verbose: 0: no progress bar.
        **reading: how to read the rows: `text`, `text_pair`, `label`, `label_names` and
            `label_separator`, as there.

    Returns:
        By name, besides `rows`, their number, and `cut`, how many were too long:
        of one class: `accuracy` and `macro_f1` (over the classes in rows or answers);
        of several labels: `micro_f1`, `macro_f1` (over all labels), `exact_match`;
        of numbers: `spearman`, `pearson`, `root_mean_squared_error`, means over the numbers.

    Raises:
        TypeError: see `keras_lm.data.classification`, or an unknown way of reading.
        ValueError: see there; or a model of another kind, or without tokenizer.
        FileNotFoundError: see there.
    """
    for kind, function in _BY_KIND.items():
        if isinstance(model, kind):
            return function(model, files, rows, batch_size, verbose, **reading)
    names = ", ".join(kind.__name__ for kind in _BY_KIND)
    raise ValueError(
        f"keras_lm.evaluate takes one of {names}; others have model.evaluate(). "
        f"Received: a {type(model).__name__}"
    )


def _evaluate_texts(
    model: TextClassifier,
    files: Files | None,
    rows: Iterable[Values] | None,
    batch_size: int | None,
    verbose: Any,
    *,
    text: str = "text",
    text_pair: str | None = "text_pair",
    label: str | Sequence[str] = "label",
    label_names: Mapping[str, str] | None = None,
    label_separator: str = ",",
) -> Figures:
    reader = reader_of(rows, model.labels, model.problem, label, label_names, label_separator)
    read = read_labelled(files, rows, reader, text=text, text_pair=text_pair)
    texts = [read.texts] if read.pairs is None else [read.texts, read.pairs]
    found = answers(model.asked(texts), texts, batch_size, verbose)
    scores = np.stack([answer["scores"] for answer in found])
    if model.problem == "single_label":
        figures = class_figures(read.labels, scores.argmax(axis=1))
    elif model.problem == "multi_label":
        figures = label_figures(read.labels >= 0.5, scores >= 0.5)
    else:
        figures = number_figures(read.labels, scores)
    cut = sum(int(answer["status"]) != 0 for answer in found)
    return {**figures, "rows": len(found), "cut": cut}


_BY_KIND: dict[type, Callable[..., Figures]] = {TextClassifier: _evaluate_texts}
