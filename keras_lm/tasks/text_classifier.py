"""A text to its class, its classes, or numbers.

B batch, T length, D hidden size, C classes.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_lm.data.label_values import PROBLEMS
from keras_lm.layers.inputs import as_inputs
from keras_lm.models.interface import made_once
from keras_lm.tasks.asking import answers
from keras_lm.tasks.attributions import attributions
from keras_lm.tasks.labels import check_classes, check_numbers, label_names
from keras_lm.tasks.task import Task, last_real
from keras_lm.tasks.text_labels import TextLabels
from keras_lm.training import LanguageModel
from keras_lm.training.losses import squared_error, token_cross_entropy, yes_no_cross_entropy

Tensor = Any


class Predictions(NamedTuple):
    """What texts were found to be; of a single text the values alone.

    Attributes:
        labels: N names; of several labels N tuples of names, likeliest first; of a regression None.
        scores: float32 `(N, C)`, probabilities, or the numbers of a regression; in the order of the
            model's `labels`.
        cut: bool `(N,)`, whether a text was too long and its start alone was read.
    """

    labels: Any
    scores: Any
    cut: Any


@keras.saving.register_keras_serializable("keras_lm")
class TextClassifier(Task):
    """Classifies texts, or pairs of texts, by the hidden state of one token.

    Source: Devlin et al. 2019, arXiv:1810.04805, section 4 and figure 4 (a, b). The layers between
    encoder and logits are those that the model's family has in Transformers (`head_kinds`).

    Args:
        model: a model of the zoo, whose encoder (GPT: decoder) it shares; heads are left behind. A
            BERT's pooler comes along.
        labels: names of the classes, class 0 first, or their number C. For regression names of what
            is estimated.
        problem: `"single_label"`: one of the classes; `"multi_label"`: any of them;
            `"regression"`: C numbers.
        dropout_rate: before the last layer. None: as the family has it in Transformers.

    Call arguments:
        inputs: a dict, or `token_ids` alone:
            `token_ids`: int `(B, T)`;
            `segment_ids`: int `(B, T)`; not read by models without segments;
            `padding_mask`: bool `(B, T)`, True where a token is no padding; left out: True.

    Returns:
        float32 `(B, C)`: logits; for regression the numbers.

    `compile` without a loss: cross-entropy of the class, int `(B,)`; of yes and no for each class,
    int or float `(B, C)`; or squared error, float `(B, C)`, or `(B,)` if C is 1. Sample weights
    have the labels' shape or `(B,)`.

    Attributes:
        labels: the names, a tuple.
        problem: as given.

    Raises:
        ValueError: a model that a task can't stand on, labels that are no different names, fewer
            than two for `"single_label"`, or an unknown problem.
    """

    HEADS = ("text_classification",)

    def __init__(
        self,
        model: LanguageModel,
        labels: Iterable[str] | int,
        *,
        problem: str = "single_label",
        dropout_rate: float | None = None,
        **kwargs: Any,
    ) -> None:
        if problem not in PROBLEMS:
            raise ValueError(f"problem must be one of {PROBLEMS}. Received: problem={problem!r}")
        names = label_names(labels, least=2 if problem == "single_label" else 1)
        super().__init__(model, heads=self.HEADS, **kwargs)
        self.record(labels=names)
        self.labels, self.problem = names, problem
        kind = self.head_kind
        self.dropout = self.head_dropout(dropout_rate, kind.text_dropout)
        self.dense: Any = None
        if kind.dense is not None:
            own = getattr(model, kind.dense, None)
            self.dense = own or self.head_layer(self.hidden_size, kind.dense, kind.activation)
        self.classifier = self.head_layer(len(names), "classifier", use_bias=kind.bias)

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight, from the sizes alone."""
        dense = () if self.dense is None else (self.dense,)
        self.build_layers(*dense, self.classifier)

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        """Classifies; see the class."""
        inputs = as_inputs(inputs)
        hidden_BTD = self.hidden_states(inputs, training=training)
        x_BD = hidden_BTD[:, 0]
        if self.head_kind.token == "last":
            x_BD = last_real(hidden_BTD, inputs.get("padding_mask"))
        if self.head_kind.drops_hidden:
            x_BD = self.dropout(x_BD, training=training)
        if self.dense is not None:
            x_BD = self.dense(x_BD)
        x_BD = self.dropout(x_BD, training=training)
        return tf.cast(self.classifier(x_BD), "float32")

    @property
    def smooths_labels(self) -> bool:
        """Whether the loss knows of label smoothing."""
        return self.problem == "single_label"

    def head_loss(
        self, head: str, labels: Tensor, outputs: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns the loss of each label and its weight; see the class."""
        if self.problem == "single_label":
            smoothing = self.label_smoothing
            return token_cross_entropy(labels, outputs, weights, label_smoothing=smoothing)
        if self.problem == "multi_label":
            return yes_no_cross_entropy(labels, outputs, weights)
        labels = tf.convert_to_tensor(labels)
        if labels.shape.rank == 1 and len(self.labels) == 1:
            labels = labels[:, None]
        return squared_error(labels, outputs, weights)

    def head_metrics(self, head: str) -> list[Any]:
        """Returns accuracy; for regression the root of the mean squared error."""
        if self.problem == "single_label":
            return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
        if self.problem == "multi_label":
            return [keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)]
        return [keras.metrics.RootMeanSquaredError()]

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Classifies texts; or returns the outputs for data. See `Task.predict`.

        Returns:
            Of texts `Predictions`: what the export answers. A text that is too long loses its end.
        """
        return super().predict(x, *args, **kwargs)

    def predict_texts(
        self, texts: list[list[Any]], single: bool, *, batch_size: int | None, verbose: Any
    ) -> Predictions:
        """Classifies texts; see `predict`."""
        found = answers(self.asked(texts), texts, batch_size, verbose)
        labels: Any = None
        if self.problem == "single_label":
            labels = [answer["label"].decode() for answer in found]
        elif self.problem == "multi_label":
            labels = [
                tuple(name.decode() for name in answer["labels"][: answer["count"]])
                for answer in found
            ]
        scores = np.stack([answer["scores"] for answer in found])
        cut = np.array([answer["status"] != 0 for answer in found])
        if single:
            return Predictions(labels and labels[0], scores[0], bool(cut[0]))
        return Predictions(labels, scores, cut)

    def attributions(
        self,
        texts: Any,
        target: Any = None,
        *,
        steps: int = 50,
        baseline: str | None = None,
        output: str = "probability",
        batch_size: int | None = None,
    ) -> Any:
        """Says by how much each token moved an answer, by integrated gradients.

        Source: Sundararajan et al. 2017, arXiv:1703.01365, section 3; see
        `keras_lm.tasks.attributions`.

        Args:
            texts: a string, or a pair of them as a tuple; or a list of strings, or of pairs.
            target: the label whose output is explained, or a list with one for each text. None: the
                likeliest; of a regression its one number.
            steps: gradients that are computed of each text.
            baseline: what stands in the place of each token where the line begins: `"pad"`,
                `"mask"`, `"unk"`, the embedding of that token; `"zeros"`. None: `"pad"`, or
                `"zeros"` where the tokenizer has no padding.
            output: `"probability"` or `"logit"`; of a regression the numbers are explained.
            batch_size: points of the line that are computed at once. None: 32.

        Returns:
            `Attribution`; of several texts a list of them.

        Raises:
            ValueError: no text, no tokenizer, an unknown label or baseline, or a number that is not
                positive.
        """
        return attributions(
            self,
            texts,
            target,
            None,
            steps=steps,
            baseline=baseline,
            output=output,
            batch_size=batch_size,
        )

    def asked(self, texts: list[list[Any]]) -> Callable[..., Any]:
        """Returns the graph that answers texts, one list of strings or two.

        Raises:
            ValueError: there is no tokenizer, or it cannot tell the texts of a pair apart.
        """
        tokenizer = self.require_tokenizer("predict() of texts")
        graphs = made_once(TextLabels, self, tokenizer)
        return graphs.of_text if len(texts) == 1 else graphs.of_pair

    def check_labels(self, labels: Any) -> None:
        """Raises for labels in a NumPy array that can't be."""
        if self.problem == "single_label":
            check_classes(labels, len(self.labels))
        elif self.problem == "multi_label":
            check_numbers(labels, 0, 1)
        else:
            check_numbers(labels)
