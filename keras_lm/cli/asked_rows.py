"""The rows of a file that a fine-tuned model is asked about."""

import itertools
import pathlib
from collections.abc import Iterator, Sequence

from keras_lm.cli.task_columns import COLUMNS, read_columns
from keras_lm.data.label_values import BadCellError, text_of
from keras_lm.data.questions import questions_in
from keras_lm.data.table_rows import Row, open_rows
from keras_lm.tokenizers.text_files import read_lines

_TABLES = (".csv", ".tsv", ".jsonl")


def asked_rows(
    task: str, file: str | None, texts: Sequence[str] | None, columns: Sequence[str]
) -> Iterator[dict[str, str]]:
    """Texts by the task's own names of columns, row after row.

    Args:
        task: as in `keras_lm.tasks.TASKS`.
        file: a file; or None.
        texts: texts in place of a file.
        columns: `NAME=COLUMN`, what columns are called in the file.

    Raises:
        ValueError: a text is empty, with its place; a column is missing or is no column of the
            task; there is no text; or lines of text for a task that reads two texts.
    """
    known = COLUMNS[task]
    second = () if known.second is None else (known.second,)
    called = read_columns(task, columns, (*known.asked, *second))
    wanted = [str(called.get(name, name)) for name in known.asked]
    rows: Iterator[Row]
    named_as = "" if file is None else file.lower().removesuffix(".gz")
    asks_squad = task == "question_answering" and named_as.endswith(".json") and not called
    if file is not None and asks_squad:
        rows = questions_in(pathlib.Path(file))
    elif file is not None and named_as.endswith(_TABLES):
        asked = [str(called[name]) for name in second if name in called]
        rows = open_rows(file, None, [*wanted, *asked])
    else:
        if len(known.asked) > 1 or called:
            raise ValueError(
                f"Columns are those of {', '.join(_TABLES)} files; {task} needs "
                f"{', '.join(known.asked)}. Received: {file or '--text'}"
            )
        if file is not None:
            named = ((line, f"line {i} of {file}") for i, line in enumerate(read_lines(file), 1))
        else:
            named = ((text, f"--text number {i}") for i, text in enumerate(texts or (), 1))
        rows = (Row({wanted[0]: text}, place) for text, place in named)
    first = next(rows, None)
    if first is None:
        raise ValueError(f"There must be a text at least. Received: none in {file}")
    return _texts(
        itertools.chain([first], rows),
        dict(zip(known.asked, wanted, strict=True)),
        {name: str(called.get(name, name)) for name in second},
    )


def _texts(
    rows: Iterator[Row], needed: dict[str, str], where_there: dict[str, str]
) -> Iterator[dict[str, str]]:
    kinds: set[tuple[str, ...]] = set()
    for row in rows:
        found = {name: text_of(row, column) for name, column in needed.items()}
        for name, column in where_there.items():
            if row.values.get(column) is not None:
                found[name] = text_of(row, column)
        kinds.add(tuple(found))
        if len(kinds) > 1:
            rule = "Either all rows or none must have a second text."
            column = next(iter(where_there.values()))
            raise BadCellError(rule, row.values.get(column), column, row)
        yield found
