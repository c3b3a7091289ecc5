"""Rows to texts that are alike, or not, all of them read before anything is done with one.

R rows.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_lm.data.bad_rows import BadRows
from keras_lm.data.label_values import BadCellError, text_of
from keras_lm.data.table_rows import Files, Row, Values, open_rows

# What is learnt, see `TextEmbedder.compile`.
OBJECTIVES = ("ranking", "cosine", "triplet")
NEGATIVE = "negative"  # is read where it is there


class SimilarTexts(NamedTuple):
    """What stands in the rows that were read.

    Attributes:
        texts: two or three lists of R texts: the first ones, those that are like them, and those
            that are not.
        scores: float32 `(R,)`, how much both are alike; None but for `"cosine"`.
        dropped: what was wrong with each row that was left out.
    """

    texts: list[list[str]]
    scores: np.ndarray | None
    dropped: list[str]


def read_similar(
    files: Files | None,
    rows: Iterable[Values] | None,
    objective: str,
    *,
    text: str = "text",
    text_pair: str = "text_pair",
    negative: str = NEGATIVE,
    score: str = "score",
    score_range: tuple[float, float] | None = None,
    bad_rows: str = "raise",
) -> SimilarTexts:
    """Reads texts and scores; see `keras_lm.data.similarity`.

    Args:
        files: see there, and so the others.
        rows: see there.
        objective: see there.
        text: see there.
        text_pair: see there.
        negative: see there.
        score: see there.
        score_range: what becomes 0 and 1. None: scores stay what they are.
        bad_rows: see there.

    Raises:
        TypeError: see `open_rows`.
        ValueError: see `similarity`; or there is no row.
    """
    if objective not in OBJECTIVES:
        raise ValueError(
            f"objective must be one of {OBJECTIVES}. Received: objective={objective!r}"
        )
    bad = BadRows(bad_rows)
    _check_range(score_range)
    scored = objective == "cosine"
    # A column that was asked for must be there.
    asked = objective == "triplet" or (objective == "ranking" and negative != NEGATIVE)
    columns = [text, text_pair, *([negative] if asked else []), *([score] if scored else [])]
    found: list[list[str]] = [[], [], []]
    scores: list[float] = []
    tripled: bool | None = None
    for row in open_rows(files, rows, columns):
        has_negative = asked or (objective == "ranking" and row.values.get(negative) is not None)
        with bad.caught():
            if tripled is not None and tripled != has_negative:
                rule = "Either all rows or none must have a third text."
                raise BadCellError(rule, row.values.get(negative), negative, row)
            names = [text, text_pair, *([negative] if has_negative else [])]
            texts = [text_of(row, name) for name in names]
            value = _score(row, score, score_range) if scored else 0.0
            tripled = has_negative
            for side, own in zip(found, texts, strict=False):
                side.append(own)
            scores.append(value)
    bad.require(found[0], files)
    sides = found if tripled else found[:2]
    return SimilarTexts(sides, np.array(scores, np.float32) if scored else None, bad.dropped)


def groups_of(texts: Sequence[str], pairs: Sequence[str]) -> np.ndarray:
    """The group of each row, int32 `(R,)`: rows that share a text, also by way of others, are one.

    Raises:
        ValueError: all rows are one group, so that none is unlike another.
    """
    above: dict[str, str] = {}

    def top(text: str) -> str:
        above.setdefault(text, text)
        while above[text] != text:
            above[text] = above[above[text]]
            text = above[text]
        return text

    for one, other in zip(texts, pairs, strict=True):
        above[top(one)] = top(other)
    number: dict[str, int] = {}
    group_R = np.array([number.setdefault(top(text), len(number)) for text in texts], np.int32)
    if len(number) == 1:
        raise ValueError(
            "Texts of different rows must be unlike each other; rows that share a text are not. "
            f"Received: {len(group_R)} rows that all share texts, {texts[0]!r:.80} among them"
        )
    return group_R


def _check_range(score_range: Any) -> None:
    if score_range is None:
        return
    low, high = score_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(
            "score_range must be the lowest and the highest score. "
            f"Received: score_range={score_range!r}"
        )


def _score(row: Row, column: str, score_range: tuple[float, float] | None) -> float:
    value = row.values.get(column)
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    low, high = score_range or (-math.inf, math.inf)
    if not math.isfinite(number) or not low <= number <= high:
        kind = "a finite number" if score_range is None else f"a number in {low} .. {high}"
        raise BadCellError(f"A score must be {kind}.", value, column, row)
    return number if score_range is None else (number - low) / (high - low)
