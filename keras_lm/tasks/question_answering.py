"""A question and a text to where the answer stands in the text.

B batch, T length.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_lm.data.question_windows import LONGEST_QUESTION, STRIDE
from keras_lm.layers.attention import MASKED
from keras_lm.layers.inputs import as_inputs
from keras_lm.models.explanations.attributing import texts_to_explain
from keras_lm.models.interface import made_once
from keras_lm.tasks.answer_attributions import answer_attributions
from keras_lm.tasks.asking import answers
from keras_lm.tasks.labels import check_classes
from keras_lm.tasks.task import Task
from keras_lm.tasks.text_answers import TextAnswers
from keras_lm.training import LanguageModel
from keras_lm.training.losses import token_cross_entropy

Tensor = Any


class Answer(NamedTuple):
    """What a text answers.

    Attributes:
        text: the answer, as it stands in the context; "" where there is none.
        start: where it begins, in characters; -1 where there is none.
        end: the place behind its last character; -1 where there is none.
        score: its probability, or that of no answer, among all that are allowed.
    """

    text: str
    start: int
    end: int
    score: float


class FoundAnswers(NamedTuple):
    """The answers to questions; of a single question the values alone.

    Attributes:
        answers: for each question an `Answer`.
        cut: bool `(N,)`, whether question or context was too long, and its start alone was read.
    """

    answers: Any
    cut: Any


@keras.saving.register_keras_serializable("keras_lm")
class QuestionAnswering(Task):
    """Says of each token how likely the answer begins and ends there.

    Source: Devlin et al. 2019, arXiv:1810.04805, section 4.2 and figure 4 (c). No answer is the
    place 0 for both (section 4.3).

    Args:
        model: a model of the zoo, whose encoder (GPT: decoder) it shares; heads are left behind.
        dropout_rate: before the last layer. None: as the family has it in Transformers.
        max_answer_length: tokens of an answer to a string at most.
        no_answer_threshold: a question has no answer where the logits of none are higher by more
            than that; `keras_lm.evaluate` finds the best one. None: where the context has a word,
            there is an answer.
        max_question_length: tokens of a question that are read.
        stride: tokens from one window of a long context to the next.
        max_windows: how many windows of a context are read.

    Call arguments:
        inputs: a dict, or `token_ids` alone:
            `token_ids`: int `(B, T)`, question and text;
            `segment_ids`: int `(B, T)`; not read by models without segments;
            `padding_mask`: bool `(B, T)`, True where a token is no padding; left out: True.

    Returns:
        A dict of `start` and `end`, float32 logits `(B, T)` over the places; at padding -1e9.

    `compile` without a loss: the mean of the cross-entropies of both places. Labels are a dict of
    `start` and `end`, int `(B,)`; so are sample weights. Where the weight is 0, because the answer
    is outside, the place may be any number.

    Raises:
        ValueError: a model that a task can't stand on, or a number that is not positive.
    """

    HEADS = ("start", "end")
    LOSS_WEIGHTS: ClassVar[dict[str, float]] = {"start": 0.5, "end": 0.5}

    def __init__(
        self,
        model: LanguageModel,
        *,
        dropout_rate: float | None = None,
        max_answer_length: int = 30,
        no_answer_threshold: float | None = None,
        max_question_length: int = LONGEST_QUESTION,
        stride: int = STRIDE,
        max_windows: int = 32,
        **kwargs: Any,
    ) -> None:
        sizes = {
            "max_answer_length": max_answer_length,
            "max_question_length": max_question_length,
            "stride": stride,
            "max_windows": max_windows,
        }
        for name, value in sizes.items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a positive whole number. Received: {value!r}")
        super().__init__(model, heads=self.HEADS, **kwargs)
        self.max_answer_length, self.max_question_length = max_answer_length, max_question_length
        self.stride, self.max_windows = stride, max_windows
        _check_threshold(no_answer_threshold)  # It is recorded already.
        self.dropout = self.head_dropout(dropout_rate, self.head_kind.answer_dropout)
        self.span = self.head_layer(2, "span")

    @property
    def no_answer_threshold(self) -> float | None:
        """See the class; it may be set, for what is answered and exported from then on.

        Raises:
            ValueError: it is no finite number.
        """
        return self.constructor_arguments["no_answer_threshold"]

    @no_answer_threshold.setter
    def no_answer_threshold(self, value: float | None) -> None:
        _check_threshold(value)
        self.record(no_answer_threshold=None if value is None else float(value))
        self.__dict__.pop("_made_once", None)  # graphs that have another one

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight, from the sizes alone."""
        self.build_layers(self.span)

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Tensor]:
        """Answers; see the class."""
        inputs = as_inputs(inputs)
        x_BTD = self.dropout(self.hidden_states(inputs, training=training), training=training)
        logits_BT2 = tf.cast(self.span(x_BTD), "float32")
        if "padding_mask" in inputs:
            real_BT1 = tf.cast(inputs["padding_mask"], "bool")[:, :, None]
            logits_BT2 = tf.where(real_BT1, logits_BT2, MASKED)
        return {"start": logits_BT2[:, :, 0], "end": logits_BT2[:, :, 1]}

    @property
    def smooths_labels(self) -> bool:
        """Places are not smoothed: padding would get a share."""
        return False

    def head_loss(
        self, head: str, labels: Tensor, outputs: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns the cross-entropy of each place and its weight."""
        return token_cross_entropy(labels, outputs, weights)

    def predict(  # type: ignore[override]
        self,
        x: Any = None,
        *args: Any,
        question: str | Sequence[str] | None = None,
        context: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Answers questions; or returns the outputs for data. See `Task.predict`.

        Args:
            x: pairs of a question and a context, as `Task.predict` takes them, or data.
            *args: see there.
            question: in place of pairs: a question, or several.
            context: the text, or one for each question.
            **kwargs: see there.

        Returns:
            Of texts `FoundAnswers`: what the export answers.

        Raises:
            ValueError: one of both is missing, empty, or there are not as many of them.
        """
        return super().predict(_pairs("predict", x, question, context), *args, **kwargs)

    def predict_texts(
        self, texts: list[list[Any]], single: bool, *, batch_size: int | None, verbose: Any
    ) -> FoundAnswers:
        """Answers questions; see `predict`."""
        _check_pairs(texts)
        found = answers(self.asked(), texts, batch_size, verbose)
        given = [
            Answer(
                answer["answer"].decode(),
                int(answer["start"]),
                int(answer["end"]),
                float(answer["score"]),
            )
            for answer in found
        ]
        cut = np.array([answer["status"] != 0 for answer in found])
        return FoundAnswers(given[0], bool(cut[0])) if single else FoundAnswers(given, cut)

    def attributions(
        self,
        texts: Any = None,
        at: Any = None,
        *,
        question: str | Sequence[str] | None = None,
        context: str | Sequence[str] | None = None,
        steps: int = 50,
        baseline: str | None = None,
        output: str = "probability",
        batch_size: int | None = None,
    ) -> Any:
        """Says by how much each token of question and context moved an answer.

        By integrated gradients, see `TextClassifier.attributions`. A long context is read in
        windows; the one that holds the answer is explained, as if it were the context: its tokens
        are the tokens of the result. Of no answer it is the window that speaks most against it.

        Args:
            texts: a question and a context as a tuple, or a list of such pairs.
            at: where the answer begins, and the place behind its last character, as an `Answer` has
                them: (-1, -1) for no answer; of several questions a list with one for each. Where
                it cuts words they are taken whole. None: what `predict` answers.
            question: in place of pairs: a question, or several.
            context: the text, or one for each question.
            steps: see `TextClassifier.attributions`.
            baseline: see there.
            output: `"probability"`, the `score` of an `Answer`: among all answers that are allowed
                in the window, and none; or `"logit"`, the sum of the logits of beginning and end.
            batch_size: see `TextClassifier.attributions`.

        Returns:
            `Attribution`, whose target is the answer's text, or "no answer"; of several questions a
            list of them.

        Raises:
            ValueError: see `predict` and `TextClassifier.attributions`; or `at` is no answer that
                the model could give: it has no word, more than `max_answer_length` tokens, or lies
                where no window holds it.
        """
        columns, single = texts_to_explain(_pairs("attributions", texts, question, context))
        _check_pairs(columns)
        return answer_attributions(
            self,
            columns,
            single,
            at,
            steps=steps,
            baseline=baseline,
            output=output,
            batch_size=batch_size,
        )

    def asked(self) -> Callable[..., Any]:
        """Returns the graph that answers questions; see `TextAnswers`.

        Raises:
            ValueError: there is no tokenizer, or it has no separator.
        """
        tokenizer = self.require_tokenizer("predict() of texts")
        return made_once(TextAnswers, self, tokenizer).in_text

    def check_labels(self, labels: Any) -> None:
        """Raises for places in NumPy arrays that can't be."""
        if isinstance(labels, dict):
            for places in labels.values():
                check_classes(places, self.max_length)


def _check_threshold(value: Any) -> None:
    if value is not None and not math.isfinite(value):
        raise ValueError(
            f"no_answer_threshold must be a finite number or None. Received: {value!r}"
        )


def _check_pairs(texts: list[list[Any]]) -> None:
    if len(texts) < 2:
        raise ValueError(
            "A question is asked of a context: give pairs, or question= and context=. "
            f"Received: {texts[0][0]!r:.80} alone"
        )
    for name, side in zip(("question", "context"), texts, strict=True):
        for place, text in enumerate(side):
            if not text.strip():
                raise ValueError(f"A {name} must not be empty. Received: {text!r} at {place}")


def _pairs(method: str, x: Any, question: Any, context: Any) -> Any:
    """What was given; or of both names a pair, or pairs: one context may serve several questions.

    Args:
        method: what was called.
        x: its first argument.
        question: in place of it.
        context: in place of it.
    """
    if (question is None) != (context is None) or (x is None) == (question is None):
        raise ValueError(
            f"{method}() takes data, pairs, or both question= and context=. Received: "
            f"{x!r:.80}, question={question!r:.80}, context={context!r:.80}"
        )
    if x is not None:
        return x
    if isinstance(question, str | bytes):
        if not isinstance(context, str | bytes):
            raise ValueError(
                f"One question must have one context. Received: context={context!r:.80}"
            )
        return question, context
    asked = list(question)
    contexts = [context] * len(asked) if isinstance(context, str | bytes) else list(context)
    if len(contexts) != len(asked):
        raise ValueError(
            "There must be a context for each question, or one for all. "
            f"Received: {len(asked)} questions, {len(contexts)} contexts"
        )
    return list(zip(asked, contexts, strict=True))
