"""A CSV file of numbered rows that a resumed training goes on with, and never tells twice."""

import csv
import os
import pathlib
from collections.abc import Mapping
from typing import Any


class CsvTable:
    """Rows of numbers, the first of which counts upwards.

    The first row cuts what stands at its number and behind it, which a training wrote before it was
    resumed from an earlier step, and a line that was not finished. Columns that are new are added
    to all rows, empty in those before. The old file stands until the new one is whole. Each row is
    in the file when `write` returns.

    Args:
        path: of the file; its directory is made.
        key: name of the first column.

    Raises:
        ValueError: the file is there, and does not begin with the key.
    """

    def __init__(self, path: str | os.PathLike, key: str) -> None:
        self.path, self.key = pathlib.Path(path), key
        self._columns: list[str] | None = None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                first = next(csv.reader(file), [])
            if first[:1] not in ([key], []):
                raise ValueError(
                    "A log is written to a new file, or behind the rows of one whose first "
                    f'column is "{key}". Received: {self.path}, whose first line is '
                    f"{','.join(first)!r:.80}"
                )

    def write(self, row: Mapping[str, Any]) -> None:
        """Adds a row.

        Args:
            row: values by column; the key is among them. None and nan leave their place empty.

        Raises:
            OSError: the file cannot be written.
        """
        columns, self._columns = self._columns, None  # a row that fails is cut by the next one
        if columns is None or set(row) - set(columns):
            columns = self._begin(row)
        text = [_text(row.get(column)) for column in columns]
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow(text)
        self._columns = columns

    def _begin(self, row: Mapping[str, Any]) -> list[str]:
        """Writes what stays of the file; returns its columns."""
        old, kept = self._before(int(row[self.key]))
        columns = list(dict.fromkeys((*old, self.key, *row)))
        beside = self.path.with_name(f"{self.path.name}.new")
        with beside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            empty = [""] * (len(columns) - len(old))
            writer.writerows([*values, *empty] for values in kept)
        os.replace(beside, self.path)
        return columns

    def _before(self, number: int) -> tuple[list[str], list[list[str]]]:
        """Returns the columns of the file as it is, and its whole rows before a number."""
        if not self.path.exists():
            return [], []
        text = self.path.read_text(encoding="utf-8")
        lines = csv.reader(text[: text.rfind("\n") + 1].splitlines())
        columns = next(lines, [])
        rows = [row for row in lines if len(row) == len(columns) and _number(row[0]) < number]
        return columns, rows


def _number(text: str) -> float:
    return int(text) if text.isdecimal() else float("inf")


def _text(value: Any) -> str:
    if value is None or value != value:  # nan
        return ""
    return f"{value:.8g}" if isinstance(value, float) else str(value)
