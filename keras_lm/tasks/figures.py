"""What the field measures answers by. Counted exactly, from all answers at once.

R rows, C classes.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

Figures = dict[str, Any]
Parse = Callable[[Sequence[str]], Iterable[Any]]


def wilson_interval(right: int, number: int, z: float = 1.96) -> tuple[float, float]:
    """Where the true share lies, with 95 % confidence (Wilson 1927, JASA 22).

    Args:
        right: how many of them.
        number: of all, positive.
        z: of the normal distribution; 1.96 is 95 %.
    """
    share = right / number
    middle = share + z * z / (2 * number)
    spread = z * math.sqrt(share * (1 - share) / number + z * z / (4 * number * number))
    scale = 1 + z * z / number
    return (middle - spread) / scale, (middle + spread) / scale


def class_figures(truth: np.ndarray, found: np.ndarray) -> Figures:
    """Accuracy and macro F1 of one class a row.

    Macro F1 is the mean over the classes that are in truth or answers, as scikit-learn has it.

    Args:
        truth: int `(R,)`.
        found: int `(R,)`.
    """
    classes = np.union1d(truth, found)
    f1 = [_f1(truth == i, found == i) for i in classes]
    return {"accuracy": float(np.mean(truth == found)), "macro_f1": float(np.mean(f1))}


def label_figures(truth: np.ndarray, found: np.ndarray) -> Figures:
    """Figures of several labels a row.

    Args:
        truth: bool `(R, C)`.
        found: bool `(R, C)`.

    Returns:
        `micro_f1` over all labels of all rows; `macro_f1`, the mean over the C labels, 0 for one
        that is neither in truth nor in answers; `exact_match`, rows that are wholly right.
    """
    return {
        "micro_f1": _f1(truth, found),
        "macro_f1": float(np.mean([_f1(truth[:, i], found[:, i]) for i in range(truth.shape[1])])),
        "exact_match": float(np.mean((truth == found).all(axis=1))),
    }


def number_figures(truth: np.ndarray, found: np.ndarray) -> Figures:
    """Correlations and error of numbers, `(R, C)` each; the means over the C columns.

    Spearman's correlation gives equal numbers their mean rank. Of a column that is constant, or has
    one row, both correlations are no number.
    """
    columns = list(zip(truth.T.astype(np.float64), found.T.astype(np.float64), strict=True))
    return {
        "spearman": float(np.mean([_pearson(_ranks(a), _ranks(b)) for a, b in columns])),
        "pearson": float(np.mean([_pearson(a, b) for a, b in columns])),
        "root_mean_squared_error": float(np.sqrt(np.mean((truth - found) ** 2))),
    }


def entity_figures(
    truth: Iterable[Sequence[str]], found: Iterable[Sequence[str]], parse: Parse
) -> Figures:
    """Precision, recall and F1 of entities: type, first and last word must be right.

    As conlleval and seqeval count them by default: over all types together, and 0 where there is
    nothing to divide by.

    Args:
        truth: the tags of each sentence.
        found: the same.
        parse: tags to entities, such as `TagScheme.entities`.
    """
    right = wanted = answered = 0
    for tags, others in zip(truth, found, strict=True):
        entities, answers = set(parse(tags)), set(parse(others))
        right += len(entities & answers)
        wanted += len(entities)
        answered += len(answers)
    return {
        "precision": right / answered if answered else 0.0,
        "recall": right / wanted if wanted else 0.0,
        "f1": 2 * right / (wanted + answered) if wanted + answered else 0.0,
    }


def _f1(truth: np.ndarray, found: np.ndarray) -> float:
    both = int(truth.sum()) + int(found.sum())
    return 2 * int((truth & found).sum()) / both if both else 0.0


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = math.sqrt((a @ a) * (b @ b))
    return float(a @ b) / norm if norm else math.nan


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]
