"""Parallel files, tab-separated files or a list to pairs of texts."""

import itertools
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from keras_lm.tokenizers import text_files

Files = str | os.PathLike | list[str | os.PathLike]
PairSource = Files | tuple[Files, Files]


class Pair(NamedTuple):
    """A text and what it becomes.

    Attributes:
        source: str.
        target: str.
        place: such as "row 3 of a.tsv", from 1 on; of a list "row 0 of pairs", from 0 on.
    """

    source: str
    target: str
    place: str


def open_pairs(
    source: PairSource | None, pairs: Sequence[tuple[str, str] | Pair] | None
) -> Callable[[], Iterator[Pair]]:
    """Reads all pairs once, so that nothing can be wrong with them later; see `unchecked_pairs`.

    Raises:
        TypeError: see there.
        ValueError: see there; or a text is empty.
        FileNotFoundError: see there.
    """
    opened = unchecked_pairs(source, pairs)
    for pair in opened():
        for side, text in (("source", pair.source), ("target", pair.target)):
            if not text.strip():
                raise empty(pair, f"an empty {side}")
    return opened


def unchecked_pairs(
    source: PairSource | None, pairs: Sequence[tuple[str, str] | Pair] | None
) -> Callable[[], Iterator[Pair]]:
    """Opens pairs, of which texts may be empty.

    Args:
        source: a tuple of two: parallel files, line by line. A path, a glob or a list of them:
            files with two columns and a tab between them. Names in `.gz` are decompressed. Or None.
        pairs: a list of pairs of strings, or of `Pair`; or None.

    Returns:
        A function that reads them again, from the start.

    Raises:
        TypeError: neither or both are given, or something that cannot be read twice.
        ValueError: parallel files of different length, a row that has not two columns, a file that
            is not UTF-8; what stands in the files is told while they are read.
        FileNotFoundError: a file is missing, or a glob matches nothing.
    """
    if (source is None) == (pairs is None):
        both = "neither" if source is None else "both"
        raise TypeError(f"Give either source (files) or pairs (of strings). Received: {both}")
    opened: Callable[[], Iterator[Pair]]
    if pairs is not None:
        if not isinstance(pairs, list | tuple):
            raise TypeError(
                "pairs must be a list of pairs of strings: an iterator can be read once only. "
                f"Received: {type(pairs).__name__}"
            )
        opened = lambda: _from_list(pairs)  # noqa: E731
    elif isinstance(source, tuple):
        if len(source) != 2:
            raise ValueError(
                "A tuple in source is two parallel files; a list is files of two columns. "
                f"Received: a tuple of {len(source)}"
            )
        sides = [text_files.resolve(side) for side in source]
        if len(sides[0]) != len(sides[1]):
            raise ValueError(
                "Both sides of parallel files must have as many files. Received: "
                f"{len(sides[0])} for {source[0]!r}, {len(sides[1])} for {source[1]!r}"
            )
        opened = lambda: _from_parallel_files(*sides)  # noqa: E731
    else:
        if not isinstance(source, str | os.PathLike | list):
            raise TypeError(
                "source must be a path, a glob, a list of them, or a tuple of two for parallel "
                f"files. Received: {type(source).__name__}"
            )
        paths = text_files.resolve(source)
        opened = lambda: _from_columns(paths)  # noqa: E731
    return opened


def empty(pair: Pair, what: str) -> ValueError:
    """The error of a pair that lacks a text."""
    return ValueError(f"Both texts of a pair must have a token. Received: {what} in {pair.place}")


def _from_list(pairs: Sequence[Any]) -> Iterator[Pair]:
    for row, pair in enumerate(pairs):
        if isinstance(pair, Pair):
            yield pair
            continue
        if not (
            isinstance(pair, list | tuple)
            and len(pair) == 2
            and all(isinstance(text, str) for text in pair)
        ):
            raise TypeError(
                f"pairs must be a list of pairs of strings. Received: {pair!r:.80} at {row}"
            )
        yield Pair(pair[0], pair[1], f"row {row} of pairs")


def _from_parallel_files(
    sources: list[pathlib.Path], targets: list[pathlib.Path]
) -> Iterator[Pair]:
    for source, target in zip(sources, targets, strict=True):
        place = f"{source} and {target}"
        lines = [text_files.read_lines(source), text_files.read_lines(target)]
        row = 0
        for row, (text, other) in enumerate(itertools.zip_longest(*lines), 1):
            if text is None or other is None:
                counts = [row - 1, row + sum(1 for _ in lines[text is None])]
                shorter, longer = counts if text is None else counts[::-1]
                raise ValueError(
                    "Parallel files must have as many lines. Received: "
                    f"{shorter} in {source}, {longer} in {target}"
                )
            yield Pair(text, other, f"row {row} of {place}")


def _from_columns(paths: list[pathlib.Path]) -> Iterator[Pair]:
    for path in paths:
        place = str(path)
        for row, line in enumerate(text_files.read_lines(path), 1):
            columns = line.split("\t")
            if len(columns) != 2:
                raise ValueError(
                    "A row of pairs must have two columns with a tab between them. "
                    f"Received: {len(columns)} in row {row} of {place}"
                )
            yield Pair(columns[0], columns[1], f"row {row} of {place}")
