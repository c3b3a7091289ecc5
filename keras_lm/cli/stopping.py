"""When `keras-lm finetune` stops before its last epoch, and by which figure of the validation file.

Figures are those of `keras_lm.evaluate`, by their names there; `loss` is that of the training.
"""

import argparse
from typing import Any

import keras

from keras_lm.tasks import EvaluateEachEpoch

LOSS = "loss"
_LOWER_IS_BETTER = (LOSS, "root_mean_squared_error")
# Of each task; of a text's classes by the problem.
_FIGURES: dict[str, Any] = {
    "text_classification": {
        "single_label": ("accuracy", "macro_f1"),
        "multi_label": ("micro_f1", "macro_f1", "exact_match"),
        "regression": ("spearman", "pearson", "root_mean_squared_error"),
    },
    "token_classification": ("accuracy", "precision", "recall", "f1"),
    "text_embedding": ("spearman", "pearson"),
    "question_answering": ("exact_match", "f1"),
    "translation": ("bleu", "chrf"),
    "summarization": ("rouge1", "rouge2", "rougeL"),
}


def stopping(model: Any, options: argparse.Namespace) -> list[keras.callbacks.Callback]:
    """The callbacks of `--patience` and `--monitor`; none without them.

    Args:
        model: a task.
        options: as `keras_lm.cli.finetune` has them, checked.

    Raises:
        ValueError: the task has no such figure.
    """
    if options.patience is None:
        return []
    name = options.monitor or LOSS
    figures = _FIGURES[options.task]
    if isinstance(figures, dict):
        figures = figures[model.problem]
    if options.task == "text_embedding" and options.objective != "cosine":
        figures = ()  # Without scores there is nothing to correlate with.
    if name not in (LOSS, *figures):
        raise ValueError(
            f"--monitor must be one of {', '.join((LOSS, *figures))}. Received: {name!r}"
        )
    stop = keras.callbacks.EarlyStopping(
        f"val_{name}",
        mode="min" if name in _LOWER_IS_BETTER else "max",
        patience=options.patience,
        restore_best_weights=True,
    )
    if name == LOSS:
        return [stop]
    return [EvaluateEachEpoch(options.validation, **options.columns), stop]
