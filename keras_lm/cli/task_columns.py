"""Which columns the tasks read of files, and what they are called where nothing is said.

Knows nothing of TensorFlow, so that a command can say at once what it cannot do.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Columns(NamedTuple):
    """The columns of a task, by the names of arguments of `keras_lm.data` and `keras_lm.evaluate`.

    Attributes:
        named: all that can be called something else.
        learnt: those that a file to learn from must have; none where files have no header.
        asked: those that a file to answer must have.
        second: read while answering where it is there.
    """

    named: tuple[str, ...]
    learnt: tuple[str, ...]
    asked: tuple[str, ...] = ("text",)
    second: str | None = None


COLUMNS = {
    "text_classification": Columns(
        ("text", "text_pair", "label"), ("text", "label"), second="text_pair"
    ),
    "token_classification": Columns(("word", "tag"), ()),
    "text_embedding": Columns(("text", "text_pair", "negative", "score"), ("text", "text_pair")),
    "question_answering": Columns((), (), ("question", "context")),
    "translation": Columns(("source", "target"), ("source", "target"), ("source",)),
    "summarization": Columns(("text", "summary"), ("text", "summary")),
}
LABELLED = ("text_classification", "token_classification")
_NUMBERS = ("word", "tag")  # Columns of files without a header.


def read_columns(task: str, given: Sequence[str], known: Sequence[str]) -> dict[str, Any]:
    """Reads what columns are called, of `NAME=COLUMN`.

    Args:
        task: as in `keras_lm.tasks.TASKS`.
        given: of the command line.
        known: the names that may stand before the sign.

    Returns:
        Names of columns, of words and tags their numbers.

    Raises:
        ValueError: another name, no sign, or one name twice.
    """
    found: dict[str, Any] = {}
    for item in given:
        name, sign, column = item.partition("=")
        number = column.removeprefix("-").isdecimal()
        if not sign or not column or name not in known or name in found:
            raise ValueError(
                f"--column of {task} must be NAME=COLUMN, NAME one of {', '.join(known)}, each "
                f"once. Received: --column {item}"
            )
        if name in _NUMBERS and not number:
            raise ValueError(
                "A column of words or tags must be a number, 0 the first, -1 the last. "
                f"Received: --column {item}"
            )
        found[name] = int(column) if name in _NUMBERS else column
    return found
