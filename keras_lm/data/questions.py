"""Files of SQuAD's format, and dicts, to questions, contexts and answers; all of them are checked.

SQuAD 1.1 (Rajpurkar et al. 2016, arXiv:1606.05250) and 2.0 (Rajpurkar et al. 2018,
arXiv:1806.03822), where a question may have no answer. Places are characters (code points).
"""

import json
import pathlib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from keras_lm.data.bad_rows import BadRowError, BadRows
from keras_lm.data.label_values import wrong_with
from keras_lm.data.table_rows import Files, Row, Values, open_rows
from keras_lm.tokenizers import text_files

_JOINER = "\u200d"  # goes on with an emoji
_FLAGS = range(0x1F1E6, 0x1F200)  # two of these are a flag
_TONES = range(0x1F3FB, 0x1F400)  # colours of the emoji before them


class Answer(NamedTuple):
    """A text and the character of the context at which it begins."""

    text: str
    start: int


class Question(NamedTuple):
    """A question on a text.

    Attributes:
        id: of the file, or "".
        question: a text.
        context: a text.
        answers: what is right; none: the context does not say.
        place: such as "id '5' in data[0].paragraphs[3].qas[1] of dev.json".
    """

    id: str
    question: str
    context: str
    answers: list[Answer]
    place: str


class BadQuestionError(BadRowError):
    """A question that cannot be learnt from; says the rule, the value and the place."""

    def __init__(self, rule: str, value: Any, place: str) -> None:
        super().__init__(f"{rule} Received: {value} in {place}")


def read_questions(
    files: Files | None, rows: Iterable[Values] | None, bad_rows: str = "raise"
) -> tuple[list[Question], list[str]]:
    """Reads and checks questions; see `keras_lm.data.question_answering`.

    Args:
        files: see there.
        rows: see there.
        bad_rows: see there.

    Returns:
        The questions, and what was wrong with each that was left out.

    Raises:
        TypeError: neither or both are given.
        ValueError: see there; or there is no question.
        FileNotFoundError: a file is missing, or a glob matches nothing.
    """
    bad = BadRows(bad_rows)
    found: list[Question] = []
    for item in _opened(files, rows):
        with bad.caught():
            found.append(_checked(item))
    bad.require(found, files, "question")
    return found, bad.dropped


def questions_in(path: pathlib.Path) -> Iterator[Row]:
    """The questions of a file of SQuAD's format and their contexts, without a look at answers."""
    for item in _from_squad(path):
        yield Row({"question": item.question, "context": item.context}, item.place)


class _Item(NamedTuple):
    """What stands in a file, before it is checked."""

    id: Any
    question: Any
    context: Any
    answers: Any  # a list of dicts with text and answer_start, or a dict of two lists
    impossible: Any  # None: if there are no answers
    place: str


def _opened(files: Files | None, rows: Iterable[Values] | None) -> Iterator[_Item]:
    if files is None or rows is not None:
        yield from _from_rows(files, rows)
        return
    for path in text_files.resolve(files):
        name = path.with_suffix("") if path.suffix == ".gz" else path
        if name.suffix == ".json":
            yield from _from_squad(path)
        else:
            yield from _from_rows(path, None)


def _from_rows(files: Files | None, rows: Iterable[Values] | None) -> Iterator[_Item]:
    for row in open_rows(files, rows, ("question", "context", "answers")):
        values = row.values
        yield _Item(
            values.get("id", ""),
            values.get("question"),
            values.get("context"),
            values.get("answers"),
            values.get("is_impossible"),
            row.place,
        )


def _from_squad(path: pathlib.Path) -> Iterator[_Item]:
    text = "\n".join(text_files.read_lines(path))
    try:
        whole = json.loads(text)
    except ValueError as error:
        raise ValueError(f"A .json file must be JSON. Received: {error} in {path}") from None
    for i, article in enumerate(_list_of(whole, "data", str(path))):
        where = f"data[{i}] of {path}"
        for j, paragraph in enumerate(_list_of(article, "paragraphs", where)):
            at = f"data[{i}].paragraphs[{j}]"
            for k, asked in enumerate(_list_of(paragraph, "qas", f"{at} of {path}")):
                place = f"{at}.qas[{k}] of {path}"
                asked = asked if isinstance(asked, Mapping) else {}
                yield _Item(
                    asked.get("id", ""),
                    asked.get("question"),
                    paragraph.get("context"),
                    asked.get("answers"),
                    asked.get("is_impossible", False),
                    f"id {asked.get('id')!r} in {place}",
                )


def _list_of(value: Any, name: str, place: str) -> list[Any]:
    found = value.get(name) if isinstance(value, Mapping) else None
    if not isinstance(found, list):
        raise ValueError(
            "A .json file of questions must be as SQuAD's: data, paragraphs, qas; a list each. "
            f"Received: no list {name!r} in {place}"
        )
    return found


def _checked(item: _Item) -> Question:
    """Raises BadQuestionError for what is no question."""
    for name, text in (("question", item.question), ("context", item.context)):
        rule = wrong_with(text)
        if rule:
            raise BadQuestionError(f"A {name} {rule}", f"{text!r:.80}", item.place)
    if item.answers is None and not item.impossible:
        raise BadQuestionError(
            "A question must have answers: a list, empty where the context has none.",
            "none",
            item.place,
        )
    answers = [] if item.answers is None else item.answers
    if isinstance(answers, Mapping):  # as a `datasets.Dataset` of SQuAD has them
        texts, starts = (list(answers.get(name, ())) for name in ("text", "answer_start"))
        if len(texts) != len(starts):
            raise BadQuestionError(
                "Answers must have a text and an answer_start each.", f"{answers!r:.80}", item.place
            )
        answers = [
            {"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)
        ]
    if not isinstance(answers, list | tuple):
        raise BadQuestionError("Answers must be a list.", f"{answers!r:.80}", item.place)
    impossible = not answers if item.impossible is None else bool(item.impossible)
    if impossible == bool(answers):
        raise BadQuestionError(
            "A question must have an answer, or is_impossible must be true, not both.",
            f"is_impossible={item.impossible!r}, answers={answers!r:.80}",
            item.place,
        )
    found = [_answer(answer, item.context, item.place) for answer in answers]
    return Question(str(item.id), item.question, item.context, found, item.place)


def _answer(value: Any, context: str, place: str) -> Answer:
    text: Any = value.get("text") if isinstance(value, Mapping) else None
    start: Any = value.get("answer_start") if isinstance(value, Mapping) else None
    if hasattr(start, "__index__"):
        start = int(start)
    if not isinstance(text, str) or not text.strip() or not isinstance(start, int):
        raise BadQuestionError(
            "An answer must have a text that is not empty and a whole number as answer_start.",
            f"{value!r:.80}",
            place,
        )
    end = start + len(text)
    if start < 0 or context[start:end] != text:
        there = context[max(start, 0) : max(end, 0)]
        at = context.find(text)
        hint = f"; it stands at {at}" if at >= 0 else "; the context does not have it"
        raise BadQuestionError(
            "An answer must stand in its context, at the character answer_start says (a code "
            "point, not a byte).",
            f"{text!r:.80} at {start}, where there is {there!r:.80}{hint},",
            place,
        )
    for at in (start, end):
        if is_within_character(context, at):
            raise BadQuestionError(
                "An answer must begin and end between characters, not within an emoji or before "
                "a combining mark.",
                f"{text!r:.80} at {start}, whose edge at {at} is within "
                f"{context[max(at - 2, 0) : at + 2]!r},",
                place,
            )
    return Answer(text, start)


def is_within_character(text: str, place: int) -> bool:
    """Says whether what a reader takes for one character goes on at a place.

    That is before combining marks, variation selectors and colours of emoji, beside a joiner, and
    between the two letters of a flag: the cases of Unicode's annex 29 that texts have most.
    """
    if not 0 < place < len(text):
        return False
    before, here = text[place - 1], text[place]
    if here == _JOINER or unicodedata.category(here).startswith("M") or ord(here) in _TONES:
        return not before.isspace()
    if before == _JOINER:
        return not here.isalnum()  # between letters of some scripts it is no part of a character
    flags = 0
    while flags < place and ord(text[place - 1 - flags]) in _FLAGS:
        flags += 1
    return flags % 2 == 1 and ord(here) in _FLAGS
