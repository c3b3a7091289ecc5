"""Questions and their contexts to rows of ids: a long context becomes several windows.

Words are BERT's, whatever the tokenizer; an answer begins and ends with words. N tokens, W windows.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_lm.data.bad_rows import BadRows
from keras_lm.data.packed_rows import PackedRows
from keras_lm.data.questions import BadQuestionError, Question
from keras_lm.tokenizers.tokenizer import Tokenizer

STRIDE = 128  # tokens from one window to the next
LONGEST_QUESTION = 64  # tokens
_TEXTS_AT_ONCE = 1024


class RowShape(NamedTuple):
    """How a row looks: `before question between part behind`, the part one of the context.

    Attributes:
        before: special tokens in front of the question.
        between: behind it.
        behind: behind the part of the context.
        longest_question: tokens of a question at most.
        max_length: tokens of a row at most.
    """

    before: int
    between: int
    behind: int
    longest_question: int
    max_length: int


def row_shape(tokenizer: Tokenizer, max_length: int, longest_question: int) -> RowShape:
    """The shape of rows for a tokenizer.

    Args:
        tokenizer: with a separator.
        max_length: tokens of a row at most.
        longest_question: tokens of a question at most; half of the room where that is less.

    Raises:
        ValueError: there is no separator, or no room.
    """
    if tokenizer.sep_id is None:
        raise ValueError(
            "Questions and contexts need a tokenizer with a separator token to tell the two apart. "
            f"Received: a {type(tokenizer).__name__} without one"
        )
    special = len(tokenizer.encode("", ""))
    before = int(tokenizer.cls_id is not None)
    room = max_length - special
    if room < 2 or longest_question < 1:
        raise ValueError(
            "A row must have room for a token of the question and one of the context, beside "
            f"{special} special ones. "
            f"Received: a row of {max_length} tokens, max_question_length={longest_question}"
        )
    longest = min(longest_question, room // 2)
    return RowShape(before, special - before - 1, 1, longest, max_length)


def num_windows(length: int, room: int, step: int) -> int:
    """How many windows of `room` tokens, `step` apart, a text of so many tokens takes."""
    return 1 + max(0, -(-(length - room) // step))


class QuestionRows(NamedTuple):
    """Windows as rows.

    Attributes:
        rows: see `PackedRows`; `cut` says of which the question was cut.
        starts: int32 `(W,)`, the place in the row at which the answer begins; 0 where it is not in
            the window, or there is none.
        ends: int32 `(W,)`, the place of its last token.
        dropped: what was wrong with each question whose answer fits into no window.
    """

    rows: PackedRows
    starts: np.ndarray
    ends: np.ndarray
    dropped: list[str]


class Words(NamedTuple):
    """The tokens of a text and its words; see `WordTokens`."""

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    tokens: np.ndarray

    def span(self, begin: int, end: int) -> tuple[int, int] | None:
        """The first and the last token of the words that have characters of `begin .. end - 1`."""
        first = int(np.searchsorted(self.ends, begin, side="right"))
        last = int(np.searchsorted(self.starts, end, side="left")) - 1
        if first > last:
            return None
        behind = self.tokens[last + 1 :]
        behind = behind[behind > self.tokens[last]]
        return int(self.tokens[first]), int(behind[0] if behind.size else len(self.ids)) - 1


def question_rows(
    questions: Sequence[Question],
    tokenizer: Tokenizer,
    shape: RowShape,
    stride: int,
    bad_rows: str = "raise",
) -> QuestionRows:
    """Tokenizes questions and contexts, each different text once, and cuts windows.

    Args:
        questions: to be asked; the first answer of each is learnt.
        tokenizer: of the model.
        shape: of its rows.
        stride: tokens from the beginning of a window to that of the next; fewer where a window has
            no room for as many.
        bad_rows: see `keras_lm.data.question_answering`.

    Raises:
        ValueError: an answer that fits into no window, or has no token, with its place.
    """
    dtype = np.uint16 if tokenizer.vocab_size <= 2**16 else np.int32
    before = np.array([tokenizer.cls_id][: shape.before], dtype)
    between = np.array([tokenizer.sep_id] * shape.between, dtype)
    behind = np.array([tokenizer.sep_id], dtype)
    words = words_of([*(q.question for q in questions), *(q.context for q in questions)], tokenizer)
    flat: list[np.ndarray] = []
    lengths, firsts, starts, ends, cut = [], [], [], [], []
    bad = BadRows(bad_rows)
    for question in questions:
        asked, context = words[question.question].ids, words[question.context]
        is_cut = len(asked) > shape.longest_question
        asked = asked[: shape.longest_question]
        first = shape.before + len(asked) + shape.between
        room = shape.max_length - first - shape.behind
        step = min(stride, room)
        span, windows = None, 0
        with bad.caught():
            if question.answers:
                span = _span(question, context, room, step)
            windows = num_windows(len(context.ids), room, step)
        for i in range(windows):
            part = context.ids[i * step : i * step + room]
            flat += [before, asked.astype(dtype), between, part.astype(dtype), behind]
            lengths.append(first + len(part) + shape.behind)
            firsts.append(first)
            inside = span is not None and i * step <= span[0] and span[1] < i * step + len(part)
            starts.append(first + span[0] - i * step if span and inside else 0)
            ends.append(first + span[1] - i * step if span and inside else 0)
            cut.append(is_cut)
    bad.require(lengths, kind="question")
    length_W = np.array(lengths, np.int64)
    rows = PackedRows(
        np.concatenate(flat),
        np.cumsum(length_W) - length_W,
        length_W,
        np.array(firsts, np.int64) if tokenizer.has_segments else None,
        np.array(cut),
    )
    return QuestionRows(rows, np.array(starts, np.int32), np.array(ends, np.int32), bad.dropped)


def _span(question: Question, context: Words, room: int, step: int) -> tuple[int, int]:
    answer = question.answers[0]
    span = context.span(answer.start, answer.start + len(answer.text))
    if span is None:
        raise BadQuestionError(
            "An answer must have a word.", f"{answer.text!r:.80} at {answer.start}", question.place
        )
    windows = num_windows(len(context.ids), room, step)
    # The last window that begins at the answer or before it ends latest.
    last = min(span[0] // step, windows - 1)
    if span[1] >= last * step + room:
        raise BadQuestionError(
            f"An answer must fit into a window: a part of the context of {room} tokens, one every "
            f"{step}.",
            f"{answer.text!r:.80} of {span[1] - span[0] + 1} tokens",
            question.place,
        )
    return span


def words_of(texts: Sequence[str], tokenizer: Tokenizer) -> dict[str, Words]:
    """The tokens of each different text, by the graph that `predict` and exports have.

    Args:
        texts: any.
        tokenizer: of the model.
    """
    found: dict[str, Words] = {}
    different = list(dict.fromkeys(texts))
    for begin in range(0, len(different), _TEXTS_AT_ONCE):
        chunk = different[begin : begin + _TEXTS_AT_ONCE]
        parts = tokenizer.tokenize_words(chunk)
        columns = [(part.values.numpy(), part.row_splits.numpy()) for part in parts]
        for i, text in enumerate(chunk):
            found[text] = Words(*(values[splits[i] : splits[i + 1]] for values, splits in columns))
    return found
