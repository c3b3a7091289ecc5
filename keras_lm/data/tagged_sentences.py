"""Files of CoNLL's kind, and dicts, to sentences of words and their tags."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from keras_lm.data.label_values import check_names
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
) -> list[Sentence]:
    """Reads and checks all sentences; see `keras_lm.data.tagging`.

    Raises:
        TypeError: neither or both of `files` and `rows`, or something that cannot be read twice.
        ValueError: a line without the columns, a tag that is none of `labels`, a word that is
            empty, tags that are not as many as words, or no sentence at all.
        FileNotFoundError: a file is missing, or a glob matches nothing.
    """
    index = {name: i for i, name in enumerate(check_names(labels))}
    if files is not None and rows is None:
        found = list(_from_files(files, index, 0 if word == "words" else word, tag))
    else:
        found = [_from_row(row, index, str(word), str(tag), rows) for row in open_rows(files, rows)]
    if not found:
        raise ValueError("There must be a sentence at least. Received: none")
    return found


def _from_files(
    files: Files, index: dict[str, int], word: str | int, tag: str | int
) -> Iterator[Sentence]:
    columns = [_column("word", word), _column("tag", -1 if tag == "tags" else tag)]
    for path in text_files.resolve(files):
        words: list[str] = []
        tags: list[int] = []
        for number, line in enumerate(text_files.read_lines(path), 1):
            cells = line.split("\t") if "\t" in line else line.split()
            if not line.strip() or cells[0] == _DOCUMENT:
                if words:
                    yield Sentence(words, tags)
                    words, tags = [], []
                continue
            place = f"line {number} of {path}"
            try:
                text, name = (cells[column].strip() for column in columns)
            except IndexError:
                text, name = "", ""
            if len(cells) < 2 or not text:
                raise ValueError(
                    "A line must have a word and a tag, with a tab or spaces between. "
                    f"Received: {line!r:.80} in {place}"
                )
            words.append(text)
            tags.append(_known(name, index, place))
        if words:
            yield Sentence(words, tags)


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
        raise ValueError(
            f"A row must have as many tags as words, in the columns {word!r} and {tag!r}. "
            f"Received: {words!r:.80} and {tags!r:.80} in {row.place}"
        )
    for text in words:
        if not isinstance(text, str) or not text.strip():
            raise ValueError(
                f"A word must be a string that is not empty. Received: {text!r} in {row.place}"
            )
    features: Any = getattr(rows, "features", None) or {}
    feature = features.get(tag)
    names = getattr(getattr(feature, "feature", feature), "names", None) or list(index)
    return Sentence(list(words), [_known(name, index, row.place, names) for name in tags])


def _is_list(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str | bytes)


def _known(name: Any, index: dict[str, int], place: str, names: Sequence[str] = ()) -> int:
    """The number of a tag by its name, or by its place in `names`."""
    if not isinstance(name, str) and hasattr(name, "__index__") and 0 <= name < len(names):
        name = names[name]
    if name not in index:
        known = ", ".join(list(index)[:20])
        raise ValueError(f"A tag must be one of {known}. Received: {name!r} in {place}")
    return index[name]
