"""A saved task, and its answers as what JSON can hold."""

from collections.abc import Iterator, Sequence
from typing import Any

from keras_lm.checkpoints import load
from keras_lm.cli.task_columns import COLUMNS
from keras_lm.tasks import TASKS

Answer = dict[str, Any]


def load_fine_tuned(path: str) -> tuple[str, Any]:
    """Loads a task.

    Returns:
        Its name, as in `keras_lm.tasks.TASKS`, and the model.

    Raises:
        ValueError: it is a model without a task; or see `keras_lm.load`.
    """
    model = load(path)
    for name in COLUMNS:
        if isinstance(model, TASKS[name]):
            return name, model
    raise ValueError(
        f"The model must be fine-tuned for one of {', '.join(COLUMNS)}. "
        f"Received: {path}, a {type(model).__name__}"
    )


def answers_of(
    task: str, model: Any, rows: Sequence[dict[str, str]], batch_size: int, verbose: Any = 0
) -> Iterator[Answer]:
    """What the model says of each row, by name; `cut` says of which it read the start alone.

    Args:
        task: the model's.
        model: a task.
        rows: one text each, or all of them two.
        batch_size: texts that are read at once.
        verbose: as of `predict`.
    """
    texts: list[Any] = [tuple(row.values()) for row in rows]
    if len(rows[0]) == 1:
        texts = [text for (text,) in texts]
    found = model.predict(texts, batch_size, verbose=verbose)
    for answer, cut in zip(_ANSWERS[task](model, found), found.cut, strict=True):
        yield {**answer, "cut": bool(cut)}


def _classes(model: Any, found: Any) -> Iterator[Answer]:
    for i, scores_C in enumerate(found.scores):
        scores = {
            name: round(float(score), 6) for name, score in zip(model.labels, scores_C, strict=True)
        }
        if model.problem == "single_label":
            yield {"label": found.labels[i], "scores": scores}
        elif model.problem == "multi_label":
            yield {"labels": list(found.labels[i]), "scores": scores}
        else:
            yield {"scores": scores}


def _entities(model: Any, found: Any) -> Iterator[Answer]:
    for entities in found.entities:
        yield {"entities": [entity._asdict() for entity in entities]}


def _vectors(model: Any, found: Any) -> Iterator[Answer]:
    for vector_D in found.vectors:
        yield {"embedding": vector_D.tolist()}


def _found(model: Any, found: Any) -> Iterator[Answer]:
    for text, *rest in found.answers:
        yield {"answer": text, **dict(zip(("start", "end", "score"), rest, strict=True))}


def _targets(model: Any, found: Any) -> Iterator[Answer]:
    for text in found.texts:
        yield {model.ANSWER: text}


_ANSWERS = {
    "text_classification": _classes,
    "token_classification": _entities,
    "text_embedding": _vectors,
    "question_answering": _found,
    "translation": _targets,
    "summarization": _targets,
}
