"""Files of CoNLL's kind, and dicts, to sentences of words and their tags."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from keras_lm.data.bad_rows import BadRowError, BadRows
from keras_lm.data.label_values import HALF_PAIR, check_names
from keras_lm.data.table_rows import Files, Row, Values, open_rows
from keras_lm.tokenizers import text_files

_DOCUMENT = "-DOCSTART-"


class Sentence(NamedTuple):
    """Words and their tags.

    Attributes:
        words: strings.
        tags: as many numbers, places in the labels.
    """

    words: list[str]
    tags: list[int]


def read_sentences(
    files: Files | None,
    rows: Iterable[Values] | None,
    labels: Sequence[str],
    *,
    word: str | int,
    tag: str | int,
    bad_rows: str = "raise",
) -> tuple[list[Sentence], list[str]]:
    """Reads and checks all sentences; see `keras_lm.data.tagging`.

    Returns:
        The sentences, and what was wrong with each that was left out.

    Raises:
        TypeError: neither or both of `files` and `rows`, or something that cannot be read twice.
        ValueError: a line without the columns, or with other ones than the first, a tag that is
            none of `labels`, a word that is empty, tags that are not as many as words, or no
            sentence at all.
        FileNotFoundError: a file is missing, or a glob matches nothing.
    """
    index = {name: i for i, name in enumerate(check_names(labels))}
    bad = BadRows(bad_rows)
    found: list[Sentence] = []
    if files is not None and rows is None:
        columns = [
            _column("word", 0 if word == "words" else word),
            _column("tag", -1 if tag == "tags" else tag),
        ]
        for lines in _blocks(files):
            with bad.caught():
                found.append(_from_lines(lines, columns, index))
    else:
        for row in open_rows(files, rows):
            with bad.caught():
                found.append(_from_row(row, index, str(word), str(tag), rows))
    bad.require(found, files, "sentence")
    return found, bad.dropped


class _Line(NamedTuple):
    """A line of a file, its cells, how many the first line has, and where it stands."""

    text: str
    cells: list[str]
    width: int
    place: str


def _blocks(files: Files) -> Iterator[list[_Line]]:
    """The lines of each sentence."""
    for path in text_files.resolve(files):
        lines: list[_Line] = []
        width = 0
        for number, text in enumerate(text_files.read_lines(path), 1):
            cells = text.split("\t") if "\t" in text else text.split()
            if text.strip() and cells[0] != _DOCUMENT:
                width = width or len(cells)
                lines.append(_Line(text, cells, width, f"line {number} of {path}"))
            elif lines:
                yield lines
                lines = []
        if lines:
            yield lines


def _from_lines(lines: list[_Line], columns: list[int], index: dict[str, int]) -> Sentence:
    sentence = Sentence([], [])
    for line in lines:
        try:
            word, tag = (line.cells[column].strip() for column in columns)
        except IndexError:
            word, tag = "", ""
        if len(line.cells) < 2 or not word:
            raise BadRowError(
                "A line must have a word and a tag, with a tab or spaces between. "
                f"Received: {line.text!r:.80} in {line.place}"
            )
        if len(line.cells) != line.width:
            # A space within a word would make a word of its first part.
            raise BadRowError(
                f"A line must have as many columns as the first one, {line.width}. "
                f"Received: {line.text!r:.80} in {line.place}"
            )
        sentence.words.append(word)
        at = f"column {columns[1] % len(line.cells)}, {line.place}"
        sentence.tags.append(_known(tag, index, at))
    return sentence


def _column(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(
            f"{name} must be the number of a column of the files, 0 the first, -1 the last. "
            f"Received: {name}={value!r}"
        )
    return value


def _from_row(row: Row, index: dict[str, int], word: str, tag: str, rows: Any) -> Sentence:
    words: Any = row.values.get(word)
    tags: Any = row.values.get(tag)
    if not _is_list(words) or not _is_list(tags) or len(words) != len(tags) or not len(words):
        raise BadRowError(
            f"A row must have as many tags as words, in the columns {word!r} and {tag!r}. "
            f"Received: {words!r:.80} and {tags!r:.80} in {row.place}"
        )
    for text in words:
        if not isinstance(text, str) or not text.strip() or HALF_PAIR.search(text):
            raise BadRowError(
                "A word must be a string that is not empty, of whole characters. "
                f"Received: {text!r} in column {word!r}, {row.place}"
            )
    features: Any = getattr(rows, "features", None) or {}
    feature = features.get(tag)
    names = getattr(getattr(feature, "feature", feature), "names", None) or list(index)
    place = f"column {tag!r}, {row.place}"
    return Sentence(list(words), [_known(name, index, place, names) for name in tags])


def _is_list(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str | bytes)


def _known(name: Any, index: dict[str, int], place: str, names: Sequence[str] = ()) -> int:
    """The number of a tag by its name, or by its place in `names`."""
    if not isinstance(name, str) and hasattr(name, "__index__") and 0 <= name < len(names):
        name = names[name]
    if name not in index:
        known = ", ".join(list(index)[:20])
        raise BadRowError(f"A tag must be one of {known}. Received: {name!r} in {place}")
    return index[name]
