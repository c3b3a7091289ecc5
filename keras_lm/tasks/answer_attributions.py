"""By how much each token of a question and its context moved an answer.

Of a long context the window is explained in which the answer stands, or, where there is none, the
one in which none is least likely: these are what `predict` answers by. See
`keras_lm.models.explanations.attributing`.

S points of the line, W windows, T length.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Unpack

import numpy as np
import tensorflow as tf

from keras_lm.data.question_windows import Words, words_of
from keras_lm.layers.attention import MASKED
from keras_lm.models.explanations.attributing import (
    How,
    HowOptions,
    each,
    explained,
    how_asked,
    moved_along,
)
from keras_lm.models.explanations.attribution import Attribution
from keras_lm.models.explanations.text_tokens import TokenRow, row_of, start_of, tokens_of
from keras_lm.models.interface import as_text, graph, made_once
from keras_lm.models.limits import BYTES_PER_TOKEN
from keras_lm.tasks.attributions import OUTPUTS, inputs_at, tensors_of, token_table
from keras_lm.tasks.text_answers import TextAnswers

Tensor = Any

NO_ANSWER = "no answer"


def answer_attributions(
    model: Any,
    columns: list[list[Any]],
    single: bool,
    at: Any,
    **options: Unpack[HowOptions],
) -> Any:
    """Explains answers; see `QuestionAnswering.attributions`.

    Args:
        model: see there.
        columns: the questions and the contexts.
        single: whether there is one question, not a list of one.
        at: see there.
        **options: see there.
    """
    tokenizer = model.require_tokenizer("attributions()")
    how = how_asked(tokenizer, OUTPUTS, **options)
    places = [_place(value) for value in each("at", at, len(columns[0]), single)]
    asked = made_once(_AnswerGradients, model, tokenizer)
    windows = [asked.read(*values) for values in zip(*columns, places, strict=True)]
    found = [asked(window, how) for window in windows]
    return found[0] if single else found


def _place(at: Any) -> tuple[int, int] | None:
    if at is None:
        return None
    is_pair = isinstance(at, Sequence) and not isinstance(at, str | bytes) and len(at) == 2
    if is_pair and all(isinstance(value, int | np.integer) for value in at):
        start, end = map(int, at)
        if (start, end) == (-1, -1) or 0 <= start < end:
            return start, end
    raise ValueError(
        "at must be where an answer begins and the place behind its end, such as (3, 8), or "
        f"(-1, -1) for no answer. Received: at={at!r:.80}"
    )


class _Window(NamedTuple):
    """A window that is explained.

    Attributes:
        row: its tokens.
        begins: bool `(T,)`, where an answer may begin.
        ends: bool `(T,)`, where one may end.
        first: the place of the answer's first token; 0: there is no answer.
        last: the place of its last one; 0 likewise.
        name: the answer.
    """

    row: TokenRow
    begins: Any
    ends: Any
    first: int
    last: int
    name: str


class _AnswerGradients:
    """The gradients of a question answering model, in a graph."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.stack, self.tokenizer = model, model.stacks[0], tokenizer
        self.answers: TextAnswers = made_once(TextAnswers, model, tokenizer)
        ids, one = tf.TensorSpec([None], "int32"), tf.TensorSpec([], "int32")
        flag, points = tf.TensorSpec([], "bool"), tf.TensorSpec([None], "float32")
        flags, row = tf.TensorSpec([None], "bool"), {"token_ids": ids, "segment_ids": ids}
        self.nulls = graph(self._nulls, ids, ids)
        self.along = graph(self._along, row, flags, flags, one, one, flag, ids, points, points)

    def read(self, question: Any, context: Any, at: tuple[int, int] | None) -> _Window:
        """Finds the window of an answer.

        Args:
            question: a text.
            context: a text.
            at: the answer. None: what `predict` gives.

        Raises:
            ValueError: `at` is no answer that the model could give.
        """
        question, context = as_text(question), as_text(context)
        if at is None:
            found = self.answers.in_text(tf.constant([question]), tf.constant([context]))
            at = int(found["start"][0]), int(found["end"][0])
        shape, model = self.answers.shape, self.model
        row_limit = BYTES_PER_TOKEN * model.max_length
        limit = row_limit + BYTES_PER_TOKEN * (model.max_windows - 1) * model.stride
        read = start_of(question, row_limit), start_of(context, limit)
        tokens = words_of(read, self.tokenizer)
        asked, words = tokens[read[0]].ids[: shape.longest_question], tokens[read[1]]
        windows, too_long = self.answers.windows_of(*map(_ragged, (asked, words.ids)))
        low, high = windows.low.numpy(), windows.high.numpy()

        span = None if at == (-1, -1) else self._span(words, context, at)
        if span is None:
            window = int(np.argmin(self.nulls(asked, words.ids))) if len(low) > 1 else 0
        else:
            window = int(np.searchsorted(high, span[0], side="right"))
            window = min(window, len(low) - 1)
        begin, size = int(windows.begin[window]), int(windows.size[window])
        if span is not None and not (low[window] <= span[0] and span[1] < begin + size):
            raise ValueError(
                "at must be an answer that fits into a window of the context that is read, here "
                f"tokens {begin} to {begin + size - 1}. "
                f"Received: at={at}, tokens {span[0]} to {span[1]}"
            )
        known = [
            tokens_of(self.tokenizer, text, part, bytes_, parse=False)
            for part, (text, bytes_) in enumerate([(question, row_limit), (context, limit)])
        ]
        parts = [known[0][: len(asked)], known[1][begin : begin + size]]
        row = row_of(self.tokenizer, [question, context], parts, model.max_length)
        is_cut = bool(too_long[0]) or len(known[0]) > len(asked) or read != (question, context)

        at_T = np.arange(len(row.token_ids)) - int(windows.first[window]) + begin
        inside_T = (at_T >= begin) & (at_T < begin + size)
        begins_T = inside_T & np.isin(at_T, words.tokens)
        begins_T &= (at_T >= low[window]) & (at_T < high[window])
        ends_T = inside_T & (np.isin(at_T + 1, words.tokens) | (at_T == len(words.ids) - 1))
        first, last = (0, 0) if span is None else np.searchsorted(at_T, span).tolist()
        name = NO_ANSWER if span is None else _text_of(words, context, span)
        return _Window(row._replace(cut=is_cut), begins_T, ends_T, first, last, name)

    def _span(self, words: Words, context: str, at: tuple[int, int]) -> tuple[int, int]:
        """The first and the last token of an answer's words."""
        if at[1] > len(context):
            raise ValueError(
                f"at must be places in the context, at most {len(context)}. Received: at={at}"
            )
        span = words.span(*at)
        if span is None:
            raise ValueError(
                "at must be an answer with a word that is read. "
                f"Received: at={at}, {context[at[0] : at[1]]!r:.80}"
            )
        if span[1] - span[0] >= self.model.max_answer_length:
            raise ValueError(
                f"at must be an answer of max_answer_length={self.model.max_answer_length} tokens "
                f"at most. Received: at={at}, {span[1] - span[0] + 1} tokens"
            )
        return span

    def __call__(self, window: _Window, how: How) -> Attribution:
        places = tf.constant(window.first), tf.constant(window.last)
        allowed = tf.constant(window.begins), tf.constant(window.ends)
        fixed = tensors_of(window.row), *allowed, *places, how.is_probability
        return explained(window.row, window.name, how, lambda *line: self.along(*fixed, *line))

    def _nulls(self, asked: Tensor, ids: Tensor) -> Tensor:
        """The logit of no answer in each window, float32 `(W,)`."""
        rows = _ragged(asked), _ragged(ids)
        windows, _ = self.answers.windows_of(*rows)
        start_WT, end_WT = self.answers.logits(*rows, windows)
        return start_WT[:, 0] + end_WT[:, 0]

    def _along(
        self,
        row: dict[str, Tensor],
        begins: Tensor,
        ends: Tensor,
        first: Tensor,
        last: Tensor,
        is_probability: Tensor,
        baseline_ids: Tensor,
        at: Tensor,
        by: Tensor,
    ) -> tuple[Tensor, Tensor]:
        def outputs(points_STD: Tensor) -> Tensor:
            logits = self.model(inputs_at(self.stack, row, points_STD), training=False)
            start_ST, end_ST = logits["start"], logits["end"]
            answer_S = tf.gather(start_ST, first, axis=1) + tf.gather(end_ST, last, axis=1)
            none_S = start_ST[:, 0] + end_ST[:, 0]
            sum_STL = self.answers.sums(
                tf.where(begins, start_ST, MASKED), tf.where(ends, end_ST, MASKED)
            )
            flat_SN = tf.reshape(sum_STL, [tf.shape(points_STD)[0], -1])
            all_S = tf.reduce_logsumexp(tf.concat([flat_SN, none_S[:, None]], axis=1), axis=1)
            return tf.where(is_probability, tf.exp(answer_S - all_S), answer_S)

        return moved_along(token_table(self.stack), row["token_ids"], baseline_ids, outputs, at, by)


def _text_of(words: Words, context: str, span: tuple[int, int]) -> str:
    """The words from one token to another, as they stand in the context."""
    first = int(np.searchsorted(words.tokens, span[0], side="left"))
    last = int(np.searchsorted(words.tokens, span[1], side="right")) - 1
    return context[words.starts[first] : words.ends[last]]


def _ragged(ids: Any) -> tf.RaggedTensor:
    """One row of ids as a batch."""
    ids = tf.cast(ids, "int32")
    return tf.RaggedTensor.from_row_lengths(ids, [tf.size(ids)])
