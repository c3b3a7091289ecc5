"""Files with named columns, and other sources of dicts, to rows.

CSV has quotes (RFC 4180), TSV has none (IANA's text/tab-separated-values), JSONL has an object a
line. The first line of CSV and TSV names the columns.
"""

import csv
import itertools
import json
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_lm.tokenizers import text_files

Files = str | os.PathLike | Sequence[str | os.PathLike]
Values = Mapping[str, Any]


class Row(NamedTuple):
    """A row and where it stands.

    Attributes:
        values: by column.
        place: such as "line 7 of train.csv".
    """

    values: Values
    place: str


def read_rows(files: Files) -> list[dict[str, Any]]:
    """The rows of files as dicts: of CSV and TSV strings, of JSONL what stands there.

    Args:
        files: a path, a glob or a list of them: `.csv`, `.tsv`, `.jsonl`, each also with `.gz`.

    Raises:
        ValueError: a file that cannot be read, with its name and the line.
        FileNotFoundError: a file is missing, or a glob matches nothing.
    """
    return [dict(row.values) for row in open_rows(files, None)]


def open_rows(
    files: Files | None, rows: Iterable[Values] | None, columns: Sequence[str] = ()
) -> Iterator[Row]:
    """Reads rows, one after the other.

    Args:
        files: see `read_rows`; or None.
        rows: dicts: a list, a `datasets.Dataset`, or a finite `tf.data.Dataset`, as tfds gives it,
            of scalars, of vectors (words and tags), or of dicts of them (answers); or None.
        columns: what the first line of a file must name.

    Raises:
        TypeError: neither or both are given, or something that cannot be read twice.
        ValueError: see `read_rows`; or a column is missing or named twice.
        FileNotFoundError: see `read_rows`.
    """
    if (files is None) == (rows is None):
        both = "neither" if files is None else "both"
        raise TypeError(f"Give either files or rows= (dicts). Received: {both}")
    if rows is not None:
        return _from_dicts(rows)
    if not isinstance(files, str | os.PathLike | list | tuple):
        raise TypeError(
            "Files are a path, a glob or a list of them; dicts go into rows=. "
            f"Received: {type(files).__name__}"
        )
    paths = text_files.resolve(files)
    readers = [(_READERS[_kind(path)], path) for path in paths]
    return itertools.chain.from_iterable(read(path, columns) for read, path in readers)


def _kind(path: pathlib.Path) -> str:
    kind = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
    if kind not in _READERS:
        raise ValueError(f"A file of rows is one of {', '.join(_READERS)}. Received: {str(path)!r}")
    return kind


def _from_dicts(rows: Any) -> Iterator[Row]:
    if isinstance(rows, tf.data.Dataset):
        specs = rows.element_spec
        single = isinstance(specs, dict) and all(
            isinstance(spec, tf.TensorSpec) and spec.shape.rank in (0, 1)
            for spec in tf.nest.flatten(specs)
        )
        if not single or rows.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise ValueError(
                "A Dataset of rows must hold dicts of single values, no batches, and have an end. "
                f"Received: element_spec={specs}, cardinality={int(rows.cardinality())}"
            )
        rows = rows.as_numpy_iterator()
    elif isinstance(rows, str | bytes | Mapping) or hasattr(rows, "__next__"):
        raise TypeError(
            "rows must be a list or another collection of dicts that can be read again. "
            f"Received: {type(rows).__name__}"
        )
    return _checked(rows)


def _checked(rows: Iterable[Any]) -> Iterator[Row]:
    for number, values in enumerate(rows):
        if not isinstance(values, Mapping):
            raise TypeError(
                f"rows must be dicts, column to value. Received: {values!r:.80} at {number}"
            )
        yield Row({name: _plain(value) for name, value in values.items()}, f"rows[{number}]")


def _plain(value: Any) -> Any:
    """What bytes and NumPy's scalars and vectors stand for, also within a dict."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return [_plain(inner) for inner in value.tolist()]
    return value.item() if hasattr(value, "dtype") and not getattr(value, "shape", 1) else value


def _from_csv(path: pathlib.Path, columns: Sequence[str]) -> Iterator[Row]:
    reader = csv.reader((f"{line}\n" for line in text_files.read_lines(path)), strict=True)

    def records() -> Iterator[tuple[int, list[str]]]:
        while True:
            first = reader.line_num + 1
            # The limit of a cell, 131,072 characters, is one of the whole process.
            limit = csv.field_size_limit(sys.maxsize)
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                rule = (
                    "A cell of CSV that begins with a quote must end with one, and quotes within "
                    "are doubled."
                )
                what = str(error)
                if what.startswith("new-line character"):
                    rule = "A line must end with a line feed, or a carriage return and a line feed."
                    what = "a carriage return alone"
                raise ValueError(f"{rule} Received: {what} in line {first} of {path}") from None
            finally:
                csv.field_size_limit(limit)
            yield first, cells

    return _named(path, columns, records())


def _from_tsv(path: pathlib.Path, columns: Sequence[str]) -> Iterator[Row]:
    lines = enumerate(text_files.read_lines(path), 1)
    return _named(path, columns, ((i, line.split("\t") if line else []) for i, line in lines))


def _named(
    path: pathlib.Path, columns: Sequence[str], records: Iterator[tuple[int, list[str]]]
) -> Iterator[Row]:
    """Names the cells of each record; blank lines are none."""
    records = (record for record in records if record[1])
    _, names = next(records, (0, []))
    twice = [name for name in names if name and names.count(name) > 1]
    missing = [name for name in columns if name not in names]
    if twice or missing:
        wrong = f"{twice[0]!r} twice" if twice else f"{missing[0]!r} missing"
        raise ValueError(
            "The first line of a file must name every column that is read, each once. Received: "
            f"{wrong} in {path}, whose columns are {names!r:.200}"
        )
    for line, cells in records:
        if len(cells) != len(names):
            raise ValueError(
                "A row must have a cell for each column. Received: "
                f"{len(cells)} cells for {len(names)} columns in line {line} of {path}"
            )
        yield Row(dict(zip(names, cells, strict=True)), f"line {line} of {path}")


def _from_jsonl(path: pathlib.Path, columns: Sequence[str]) -> Iterator[Row]:
    for number, line in enumerate(text_files.read_lines(path), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line, object_pairs_hook=_without_repeats)
        except ValueError as error:
            raise ValueError(
                "A line of JSONL must be an object of different columns. "
                f"Received: {error} in line {number} of {path}"
            ) from None
        if not isinstance(values, dict):
            raise ValueError(
                "A line of JSONL must be an object. "
                f"Received: {line!r:.80} in line {number} of {path}"
            )
        yield Row(values, f"line {number} of {path}")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} twice")
    return values


_READERS = {".csv": _from_csv, ".tsv": _from_tsv, ".jsonl": _from_jsonl}
