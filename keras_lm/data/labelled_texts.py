"""Rows to texts and labels, all of them read before anything is done with one.

R rows, C classes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_lm.data.bad_rows import BadRows
from keras_lm.data.label_values import BadCellError, LabelReader, text_of
from keras_lm.data.table_rows import Files, Values, open_rows

TEXT_PAIR = "text_pair"  # is read where it is there


class LabelledTexts(NamedTuple):
    """What stands in the rows that were read.

    Attributes:
        texts: R texts.
        pairs: the second text of each, or None.
        labels: int32 `(R,)`, or float32 `(R, C)`.
        dropped: what was wrong with each row that was left out.
    """

    texts: list[str]
    pairs: list[str] | None
    labels: np.ndarray
    dropped: list[str]


def read_labelled(
    files: Files | None,
    rows: Iterable[Values] | None,
    reader: LabelReader,
    *,
    text: str,
    text_pair: str | None,
    bad_rows: str = "raise",
) -> LabelledTexts:
    """Reads texts and labels; see `classification`.

    Raises:
        TypeError: see `open_rows`.
        ValueError: see `classification`; or there is no row.
    """
    bad = BadRows(bad_rows)
    read_texts: list[str] = []
    seconds: list[str] = []
    values: list[Any] = []
    paired: bool | None = None
    # A column that was asked for must be there.
    asked = text_pair not in (None, TEXT_PAIR)
    columns = [text, *reader.columns, *([str(text_pair)] if asked else [])]
    for row in open_rows(files, rows, columns):
        has_pair = asked or (text_pair is not None and row.values.get(text_pair) is not None)
        with bad.caught():
            if paired is not None and paired != has_pair:
                rule = "Either all rows or none must have a second text."
                raise BadCellError(rule, row.values.get(str(text_pair)), str(text_pair), row)
            first, value = text_of(row, text), reader.read(row)
            if has_pair:
                seconds.append(text_of(row, str(text_pair)))
            paired = has_pair
            read_texts.append(first)
            values.append(value)
    bad.require(read_texts, files)
    return LabelledTexts(read_texts, seconds if paired else None, reader.stack(values), bad.dropped)


def reader_of(
    rows: Any,
    labels: Sequence[str],
    problem: str,
    label: str | Sequence[str],
    label_names: Mapping[str, str] | None,
    label_separator: str,
) -> LabelReader:
    """A `LabelReader` that knows the names that a `datasets.Dataset` gives to its numbers."""
    features: Any = getattr(rows, "features", None)
    names = None
    if isinstance(label, str) and isinstance(features, Mapping):
        feature = features.get(label)
        names = getattr(getattr(feature, "feature", feature), "names", None)  # of a list, its items
    return LabelReader(labels, problem, label, label_names, names, label_separator)
