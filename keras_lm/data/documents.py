"""Files, strings or a Dataset of strings to documents: lists of lines."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from keras_lm.tokenizers import text_files

Source = str | os.PathLike | Sequence[str | os.PathLike] | Any  # Any: tf.data.Dataset
Texts = Sequence[str]

_STRINGS_AT_ONCE = 1024


def read_documents(
    source: Source | None,
    texts: Texts | None,
    document: str | None = None,
    *,
    keep_blank_lines: bool = False,
) -> Iterator[list[str]]:
    """The documents of a source, each a list of lines.

    Everything that can be checked without reading is checked before this returns.

    Args:
        source: a path, a glob or a list of them, or a `tf.data.Dataset` of strings; or None.
        texts: a list of strings; or None.
        document: "blank_line", "line" or "file"; None: "blank_line" for files, "line" for strings.
        keep_blank_lines: whether blank lines inside of a document stay.

    Raises:
        TypeError: neither or both of `source` and `texts`, or something that cannot be read twice.
        ValueError: an unknown `document`, or a Dataset without end.
        FileNotFoundError: a file is missing, or a glob matches nothing.
    """
    if document not in (None, "blank_line", "line", "file"):
        raise ValueError(
            f'document must be "blank_line", "line" or "file". Received: document={document!r}'
        )
    if (source is None) == (texts is None):
        both = "neither" if source is None else "both"
        raise TypeError(f"Give either source (files) or texts (strings). Received: {both}")
    strings: Callable[[], Iterator[str]] | None = None
    if texts is not None:
        strings = _from_list(texts)
    elif isinstance(source, tf.data.Dataset):
        strings = _from_dataset(source)
    if strings is not None:
        return _divide([strings], document or "line", True, keep_blank_lines)

    if not isinstance(source, str | os.PathLike | list | tuple):
        raise TypeError(
            "source must be a path, a glob, a list of them, or a tf.data.Dataset; strings go into "
            "texts=. An iterator can be read once only, and training reads its data again after "
            f"an interruption. Received: {type(source).__name__}"
        )
    try:
        paths = text_files.resolve(source)
    except FileNotFoundError as error:
        error.add_note("Strings in source are names of files; text itself goes into texts=.")
        raise
    files = [lambda path=path: text_files.read_lines(path) for path in paths]  # type: ignore[misc]
    return _divide(files, document or "blank_line", False, keep_blank_lines)


def spaced(documents: Iterable[list[str]]) -> Iterator[list[str]]:
    """Documents with a space before each line but the first.

    Their tokens stand one behind the other. Where a tokenizer keeps whitespace, words at the edges
    of lines would grow together.
    """
    for first, *others in documents:
        yield [first, *(f" {line}" for line in others)]


def _from_list(texts: Texts) -> Callable[[], Iterator[str]]:
    if not isinstance(texts, list | tuple):
        raise TypeError(
            "texts must be a list of strings: an iterator can be read once only, and training "
            f"reads its data again after an interruption. Received: {type(texts).__name__}"
        )
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(
                f"texts must be a list of strings. Received: {type(text).__name__} at {index}"
            )
    return lambda: iter(texts)


def _from_dataset(dataset: tf.data.Dataset) -> Callable[[], Iterator[str]]:
    spec = dataset.element_spec
    if not (
        isinstance(spec, tf.TensorSpec) and spec.dtype == tf.string and spec.shape.rank in (0, 1)
    ):
        raise TypeError(
            "A Dataset must hold strings, one by one or in batches `(B,)`. Received: "
            f"element_spec={spec}"
        )
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError("A Dataset of text must have an end. Received: an infinite one")

    def strings() -> Iterator[str]:
        flat = dataset.unbatch() if spec.shape.rank else dataset
        place = 0
        for batch in flat.batch(_STRINGS_AT_ONCE).as_numpy_iterator():
            for text in batch:
                try:
                    yield text.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise ValueError(
                        f"A Dataset of text must be UTF-8. Received: string {place} of the "
                        f"Dataset, byte {error.start}: {error.reason}"
                    ) from error
                place += 1

    return strings


def _divide(
    parts: Iterable[Callable[[], Iterator[str]]],
    document: str,
    items_are_documents: bool,
    keep_blank_lines: bool,
) -> Iterator[list[str]]:
    """Parts (files, or all strings) to documents; documents without text are left out."""
    for part in parts:
        lines: list[str] = []
        for item in part():
            for line in item.split("\n") if items_are_documents else (item,):
                blank = not line.strip()
                if blank and document == "blank_line" and lines:
                    yield lines
                    lines = []
                if not blank or (keep_blank_lines and lines):
                    lines.append(line)
            if document == "line" and lines:
                yield _trimmed(lines)
                lines = []
        if lines:
            yield _trimmed(lines)


def _trimmed(lines: list[str]) -> list[str]:
    """Without the blank lines at the end; there is one line at least that is not blank."""
    while not lines[-1].strip():
        lines.pop()
    return lines
