"""What stands in the columns of a row to the text and the label that a model learns.

C classes.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_lm.data.bad_rows import BadRowError
from keras_lm.data.table_rows import Row

# What JSON can hold and UTF-8 cannot.
HALF_PAIR = re.compile("[\ud800-\udfff]")
PROBLEMS = ("single_label", "multi_label", "regression")


class BadCellError(BadRowError):
    """A cell of a row; says the rule, the value, the column and the place."""

    def __init__(self, rule: str, value: Any, column: str, row: Row) -> None:
        columns = "" if column in row.values else f", whose columns are {list(row.values)!r:.200}"
        super().__init__(
            f"{rule} Received: {value!r:.80} in column {column!r}, {row.place}{columns}"
        )


def check_names(labels: Any) -> tuple[str, ...]:
    """The names of the classes, in their order.

    Raises:
        ValueError: they are no different names.
    """
    if (
        not isinstance(labels, list | tuple)
        or not labels
        or not all(isinstance(name, str) and name for name in labels)
        or len(set(labels)) < len(labels)
    ):
        raise ValueError(
            "labels must be different names in the order of the classes, such as labels="
            f"model.labels. Received: labels={labels!r:.200}"
        )
    return tuple(labels)


def wrong_with(value: Any) -> str:
    """Says the rule that a text breaks; "" where it is one.

    Control and format characters alone, such as U+200B, are no text: most tokenizers drop them.
    """
    if not isinstance(value, str) or all(
        c.isspace() or unicodedata.category(c) in ("Cc", "Cf") for c in value
    ):
        return "must be a text that is not empty."
    if HALF_PAIR.search(value):
        return "must have whole characters, no half of a surrogate pair."
    return ""


def text_of(row: Row, column: str) -> str:
    """The text in a column.

    Raises:
        BadCellError: it is none; see `wrong_with`.
    """
    text: Any = row.values.get(column)
    rule = wrong_with(text)
    if rule:
        raise BadCellError(f"What is read {rule}", text, column, row)
    return text


class LabelReader:
    """Reads the label of a row.

    Args:
        labels: C names.
        problem: one of `PROBLEMS`.
        columns: the column of the label; or C columns, for numbers or for yes and no.
        label_names: what a label is called in the files, to its name in `labels`.
        places: names of the numbers that stand in the rows; None: those of `labels`.
        separator: between the names in one cell, for `"multi_label"`.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        labels: Sequence[str],
        problem: str,
        columns: str | Sequence[str],
        label_names: Mapping[str, str] | None = None,
        places: Sequence[str] | None = None,
        separator: str = ",",
    ) -> None:
        if problem not in PROBLEMS:
            raise ValueError(f"problem must be one of {PROBLEMS}. Received: problem={problem!r}")
        self.labels, self.problem, self.separator = check_names(labels), problem, separator
        self.columns = (columns,) if isinstance(columns, str) else tuple(columns)
        if isinstance(columns, str) and problem == "regression" and len(self.labels) > 1:
            self._read: Callable[[Row], Any] = self._list_of_numbers
        elif problem == "single_label":
            self._read = self._class
        elif problem == "multi_label" and isinstance(columns, str):
            self._read = self._classes
        else:
            self._read = self._numbers
        many = not isinstance(columns, str) and problem != "single_label"
        if len(self.columns) != (len(self.labels) if many else 1):
            raise ValueError(
                "label must be one column, or of several labels or numbers a column for each of "
                f"labels. Received: label={columns!r}, labels={self.labels}"
            )
        self._places = self.labels if places is None else tuple(places)
        self._index = {name: i for i, name in enumerate(self.labels)}
        for alias, name in (label_names or {}).items():
            if name not in self._index:
                raise ValueError(
                    f"label_names must lead to one of {self.labels}. Received: {alias!r}: {name!r}"
                )
            self._index[alias] = self._index[name]
        names = list(self._index)
        self._rule = (
            f"A label must be one of {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}."
        )

    def read(self, row: Row) -> Any:
        """The label: an int, or float32 `(C,)`.

        Raises:
            BadCellError: there is none, or none of `labels`.
        """
        return self._read(row)

    def stack(self, values: Sequence[Any]) -> np.ndarray:
        """Labels of R rows: int32 `(R,)`, or float32 `(R, C)`."""
        return np.array(values, np.int32 if self.problem == "single_label" else np.float32)

    def _place(self, value: Any, row: Row) -> int:
        """The class of a name, or of a number that is one of a class."""
        column = self.columns[0]
        if isinstance(value, int) and not isinstance(value, bool):
            name = str(value)
            if name not in self._index and 0 <= value < len(self._places):
                value = name = self._places[value]
        else:
            name = value.strip() if isinstance(value, str) else ""
        if name not in self._index:
            raise BadCellError(self._rule, value, column, row)
        return self._index[name]

    def _class(self, row: Row) -> int:
        return self._place(row.values.get(self.columns[0]), row)

    def _classes(self, row: Row) -> np.ndarray:
        value = row.values.get(self.columns[0])
        if isinstance(value, str):
            value = [part for part in value.split(self.separator) if part.strip()]
        elif isinstance(value, Mapping) or not isinstance(value, Iterable):
            raise BadCellError("Labels must be a list of names.", value, self.columns[0], row)
        found = np.zeros(len(self.labels), np.float32)
        for name in value:
            found[self._place(name, row)] = 1
        return found

    def _numbers(self, row: Row) -> np.ndarray:
        found = [self._number(row.values.get(column), column, row) for column in self.columns]
        return np.array(found, np.float32)

    def _list_of_numbers(self, row: Row) -> np.ndarray:
        column = self.columns[0]
        value = row.values.get(column)
        if not isinstance(value, list | tuple | np.ndarray) or len(value) != len(self.labels):
            raise BadCellError(f"A label must be {len(self.labels)} numbers.", value, column, row)
        return np.array([self._number(each, column, row) for each in value], np.float32)

    def _number(self, value: Any, column: str, row: Row) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        low, high = (0, 1) if self.problem == "multi_label" else (-math.inf, math.inf)
        if not math.isfinite(number) or not low <= number <= high:
            kind = "a number in 0 .. 1" if high == 1 else "a finite number"
            raise BadCellError(f"A label must be {kind}.", value, column, row)
        return number
