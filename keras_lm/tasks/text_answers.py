"""Questions and texts to the answers in the texts, in one graph.

`QuestionAnswering.predict` calls it from Python; the export traces the same functions. Rows are
those of `keras_lm.data.question_answering`.

B batch, W windows of all texts, T length, L tokens of an answer at most.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from keras_lm.data.question_windows import row_shape
from keras_lm.layers.attention import MASKED
from keras_lm.models.interface import graph
from keras_lm.models.limits import BYTES_PER_TOKEN, CUT
from keras_lm.tasks.text_rows import TextRows

Tensor = Any

_WINDOWS_AT_ONCE = 32  # bounds the memory of the model, whatever the batch


class Windows(NamedTuple):
    """The parts of contexts.

    Attributes:
        row: int32 `(W,)`, the row of the batch that each is of; ascending.
        begin: int32 `(W,)`, its first token among those of its context.
        size: int32 `(W,)`, its tokens.
        first: int32 `(W,)`, the place of its first token in the model's row.
        low: int32 `(W,)`, the first token of the context that has more of the context around it
            here than in the window before.
        high: int32 `(W,)`, the first that has more in the next one.
        number: int64 `(B,)`, the windows of each row of the batch.
    """

    row: Tensor
    begin: Tensor
    size: Tensor
    first: Tensor
    low: Tensor
    high: Tensor
    number: Tensor


class TextAnswers:
    """A question answering model behind its tokenizer; writes no variable.

    Args:
        model: a built `QuestionAnswering`.
        tokenizer: its tokenizer, with a separator token.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.rows = TextRows(tokenizer, model.max_length)
        self.shape = row_shape(tokenizer, model.max_length, model.max_question_length)
        text = tf.TensorSpec([None], "string")
        self.in_text = graph(self._in_text, text, text)
        ids, row = tf.TensorSpec([None, None], "int32"), tf.TensorSpec([None], "int32")
        self.of_ids = graph(self._of_ids, ids, row)

    def _in_text(self, question: Tensor, context: Tensor) -> dict[str, Tensor]:
        """Answers questions.

        Args:
            question: string `(B,)`.
            context: string `(B,)`.

        Returns:
            `answer` string `(B,)`, as it stands in the context, "" where there is none; `score`
            float32 `(B,)`, the probability of that answer, or of none, among all that are allowed;
            `start` and `end` int32 `(B,)`, where it begins and ends, in characters, -1 where there
            is none; `status` int32 `(B,)`, 0 or `CUT`. And for who looks for a threshold: `best`
            string `(B,)`, the best answer, whatever speaks for none; `margin` float32 `(B,)`, how
            much higher the logits of no answer are than its own.
        """
        question_B, cut_question_B = self.rows.start_of(question)
        limit = BYTES_PER_TOKEN * (
            self.model.max_length + (self.model.max_windows - 1) * self.model.stride
        )
        cut_B = cut_question_B | (tf.strings.length(context) > limit)
        context_B = tf.strings.substr(context, 0, limit)
        # What is no UTF-8 is a character here, too.
        context_B = tf.strings.unicode_transcode(context_B, "UTF-8", "UTF-8", errors="replace")
        asked = self.tokenizer.tokenize_words(question_B).ids
        words = self.tokenizer.tokenize_words(context_B)
        cut_B |= asked.row_lengths() > self.shape.longest_question
        asked = asked[:, : self.shape.longest_question]
        windows, too_long_B = self.windows_of(asked, words.ids)
        cut_B |= too_long_B

        start_WT, end_WT = self.logits(asked, words.ids, windows)
        null_W = start_WT[:, 0] + end_WT[:, 0]
        span_WTL = self._spans(start_WT, end_WT, words, windows)
        width = tf.shape(start_WT)[1]
        longest = self.model.max_answer_length
        flat_WS = tf.reshape(span_WTL, [-1, width * longest])
        place_W = tf.argmax(flat_WS, axis=1, output_type="int32")
        by_row = _by_row(tf.reduce_max(flat_WS, axis=1), windows.number)
        best_B = tf.reduce_max(by_row, axis=1)
        null_B = tf.reduce_min(_by_row(null_W, windows.number, -MASKED), axis=1)
        all_B = tf.reduce_logsumexp(
            _by_row(tf.reduce_logsumexp(flat_WS, axis=1), windows.number), axis=1
        )
        all_B = tf.reduce_logsumexp(tf.stack([all_B, null_B]), axis=0)
        margin_B = null_B - best_B

        first_B = tf.cast(tf.cumsum(windows.number, exclusive=True), "int32")
        window_B = first_B + tf.argmax(by_row, axis=1, output_type="int32")
        place_B = tf.gather(place_W, window_B)
        to_context_B = tf.gather(windows.begin - windows.first, window_B)
        token_B = place_B // longest + to_context_B
        start_B, end_B = self._characters(words, token_B, token_B + place_B % longest)
        found_B = best_B > MASKED / 2
        best_text_B = tf.strings.substr(
            context_B,
            tf.where(found_B, start_B, 0),
            tf.where(found_B, end_B - start_B, 0),
            unit="UTF8_CHAR",
        )
        if self.model.no_answer_threshold is not None:
            found_B &= margin_B <= self.model.no_answer_threshold
        start_B, end_B = tf.where(found_B, start_B, -1), tf.where(found_B, end_B, -1)
        return {
            "answer": tf.where(found_B, best_text_B, ""),
            "best": best_text_B,
            "score": tf.exp(tf.where(found_B, best_B, null_B) - all_B),
            "start": start_B,
            "end": end_B,
            "margin": margin_B,
            "status": CUT * tf.cast(cut_B, "int32"),
        }

    def _of_ids(self, token_ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Finds the answers in rows of ids, by tokens; a row is read as it is, with no windows.

        Args:
            token_ids: int32 `(B, T)`, rows as the tokenizer packs a question and a context, padded
                on the right; see `TextRows.read_ids`.
            lengths: int32 `(B,)`, of each row without its padding.

        Returns:
            `start` and `end` int32 `(B,)`, the places in the row of the answer's first token and
            behind its last one, -1 where there is none; `score` float32 `(B,)` and `status` int32
            `(B,)` as of texts. Where words begin is not known of ids: an answer may begin and end
            with any token of the context.
        """
        inputs, cut_B = self.rows.read_ids(token_ids, lengths, pairs=True)
        logits = self.model(inputs, training=False)
        null_B = logits["start"][:, 0] + logits["end"][:, 0]
        is_sep_BT = inputs["token_ids"] == self.tokenizer.sep_id
        before_BT = tf.cumsum(tf.cast(is_sep_BT, "int32"), axis=1, exclusive=True)
        of_context_BT = (before_BT >= self.shape.between) & inputs["padding_mask"] & ~is_sep_BT
        start_BT, end_BT = (tf.where(of_context_BT, logits[s], MASKED) for s in ("start", "end"))
        longest = self.model.max_answer_length
        flat_BS = tf.reshape(self.sums(start_BT, end_BT), [tf.size(lengths), -1])
        # One more, so that a row without a token has a maximum, too.
        flat_BS = tf.pad(flat_BS, [[0, 0], [0, 1]], constant_values=2 * MASKED)
        place_B = tf.argmax(flat_BS, axis=1, output_type="int32")
        best_B = tf.reduce_max(flat_BS, axis=1)
        found_B = best_B > MASKED / 2
        if self.model.no_answer_threshold is not None:
            found_B &= null_B - best_B <= self.model.no_answer_threshold
        all_B = tf.reduce_logsumexp(tf.concat([flat_BS, null_B[:, None]], axis=1), axis=1)
        start_B = place_B // longest
        return {
            "start": tf.where(found_B, start_B, -1),
            "end": tf.where(found_B, start_B + place_B % longest + 1, -1),
            "score": tf.exp(tf.where(found_B, best_B, null_B) - all_B),
            "status": CUT * tf.cast(cut_B, "int32"),
        }

    def windows_of(self, asked: Tensor, ids: Tensor) -> tuple[Windows, Tensor]:
        """Cuts contexts into windows; bool `(B,)`, whether one has more than are read."""
        first_B = self.shape.before + tf.cast(asked.row_lengths(), "int32") + self.shape.between
        room_B = self.shape.max_length - first_B - self.shape.behind
        step_B = tf.minimum(self.model.stride, room_B)
        length_B = tf.cast(ids.row_lengths(), "int32")
        wanted_B = 1 + tf.maximum(0, -((room_B - length_B) // step_B))
        number_B = tf.minimum(wanted_B, self.model.max_windows)
        of_row = tf.ragged.range(number_B)
        row_W = tf.cast(of_row.value_rowids(), "int32")
        number_W = of_row.flat_values
        room_W, step_W = tf.gather(room_B, row_W), tf.gather(step_B, row_W)
        begin_W = number_W * step_W
        # Halfway between the middles of neighbours.
        middle_W = (2 * begin_W + step_W + room_W) // 2
        is_last_W = number_W == tf.gather(number_B, row_W) - 1
        return (
            Windows(
                row=row_W,
                begin=begin_W,
                size=tf.minimum(room_W, tf.gather(length_B, row_W) - begin_W),
                first=tf.gather(first_B, row_W),
                low=tf.where(number_W == 0, 0, middle_W - step_W),
                high=tf.where(is_last_W, begin_W + room_W, middle_W),
                number=tf.cast(number_B, "int64"),
            ),
            wanted_B > number_B,
        )

    def logits(self, asked: Tensor, ids: Tensor, windows: Windows) -> tuple[Tensor, Tensor]:
        """The logits of both places, float32 `(W, T)` each, so many windows at a time."""
        begin_W = tf.cast(tf.gather(ids.row_starts(), windows.row), "int32") + windows.begin
        parts = tf.ragged.range(begin_W, begin_W + windows.size)
        parts = parts.with_flat_values(tf.gather(ids.flat_values, parts.flat_values))
        inputs, _ = self.rows.pack(tf.gather(asked, windows.row), parts)
        number = tf.shape(windows.row)[0]
        rounds = tf.maximum(-(-number // _WINDOWS_AT_ONCE), 1)
        arrays = tuple(
            tf.TensorArray("float32", rounds, infer_shape=False, element_shape=[None, None])
            for _ in ("start", "end")
        )

        def read(i: Tensor, starts: Any, ends: Any) -> tuple[Tensor, Any, Any]:
            begin = i * _WINDOWS_AT_ONCE
            some = {name: value[begin : begin + _WINDOWS_AT_ONCE] for name, value in inputs.items()}
            logits = self.model(some, training=False)
            return i + 1, starts.write(i, logits["start"]), ends.write(i, logits["end"])

        _, starts, ends = tf.while_loop(
            lambda i, *_: i < rounds, read, (0, *arrays), parallel_iterations=1
        )
        shape = tf.shape(inputs["token_ids"])
        return tf.reshape(starts.concat(), shape), tf.reshape(ends.concat(), shape)

    def _spans(self, start_WT: Tensor, end_WT: Tensor, words: Any, windows: Windows) -> Tensor:
        """The logits of all answers that are allowed, float32 `(W, T, L)`: by place and length."""
        place_T = tf.range(tf.shape(start_WT)[1])
        token_WT = place_T - windows.first[:, None] + windows.begin[:, None]
        inside_WT = (place_T >= windows.first[:, None]) & (
            place_T < windows.first[:, None] + windows.size[:, None]
        )
        own_WT = (token_WT >= windows.low[:, None]) & (token_WT < windows.high[:, None])
        begins_N = self._begins(words)
        base_W = tf.cast(tf.gather(words.ids.row_starts(), windows.row), "int32")
        at_WT = tf.where(inside_WT, token_WT + base_W[:, None], 0)
        begins_WT = inside_WT & tf.gather(begins_N, at_WT)
        length_W = tf.cast(tf.gather(words.ids.row_lengths(), windows.row), "int32")
        # A word ends where the next one begins, or the text ends.
        is_last_WT = token_WT == length_W[:, None] - 1
        next_WT = tf.where(inside_WT & ~is_last_WT, at_WT + 1, 0)
        ends_WT = inside_WT & (is_last_WT | tf.gather(begins_N, next_WT))
        start_WT = tf.where(begins_WT & own_WT, start_WT, MASKED)
        end_WT = tf.where(ends_WT, end_WT, MASKED)
        return self.sums(start_WT, end_WT)

    def sums(self, start_WT: Tensor, end_WT: Tensor) -> Tensor:
        """The logits of answers by place and length, float32 `(W, T, L)`."""
        longest = self.model.max_answer_length
        padded = tf.pad(end_WT, [[0, 0], [0, longest - 1]], constant_values=MASKED)
        at_TL = tf.range(tf.shape(start_WT)[1])[:, None] + tf.range(longest)
        return start_WT[:, :, None] + tf.gather(padded, at_TL, axis=1)

    def _begins(self, words: Any) -> Tensor:
        """Of all tokens of the batch and one more, whether a word begins with it, bool."""
        base_B = tf.cast(words.ids.row_starts(), "int32")
        token_N = words.tokens.flat_values + tf.gather(base_B, words.tokens.value_rowids())
        number = tf.size(words.ids.flat_values) + 1
        counts = tf.math.unsorted_segment_sum(tf.ones_like(token_N), token_N, number)
        return counts > 0

    def _characters(self, words: Any, first_B: Tensor, last_B: Tensor) -> tuple[Tensor, Tensor]:
        """Where the words of the tokens `first .. last` begin and end, int32 `(B,)` each."""
        # By one more: a search in rows of nothing fails.
        tokens_BV = tf.pad(
            words.tokens.to_tensor(tf.int32.max), [[0, 0], [0, 1]], constant_values=tf.int32.max
        )
        first_word_B = tf.searchsorted(tokens_BV, first_B[:, None], side="left")[:, 0]
        last_word_B = tf.searchsorted(tokens_BV, last_B[:, None], side="right")[:, 0] - 1

        def at(values: Tensor, word_B: Tensor) -> Tensor:
            # A text without words has no place; what is read for it is not used.
            dense_BV = tf.pad(values.to_tensor(0), [[0, 0], [0, 1]])
            inside_B = tf.clip_by_value(word_B, 0, tf.shape(dense_BV)[1] - 1)
            return tf.gather(dense_BV, inside_B, batch_dims=1)

        return at(words.starts, first_word_B), at(words.ends, last_word_B)


def _by_row(values_W: Tensor, number_B: Tensor, empty: float = MASKED) -> Tensor:
    """Values of windows as rows of the batch, padded on the right: by one where there is no row."""
    rows = tf.RaggedTensor.from_row_lengths(values_W, number_B, validate=False)
    padded = rows.to_tensor(empty * 4)
    return tf.pad(padded, [[0, 0], [0, 1]], constant_values=empty * 4)
