"""Each token to its class: parts of speech, names of entities.

B batch, T length, C classes.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_lm.layers.inputs import as_inputs
from keras_lm.models.interface import made_once
from keras_lm.tasks.asking import answers
from keras_lm.tasks.attributions import attributions
from keras_lm.tasks.labels import check_classes, label_names
from keras_lm.tasks.task import Task
from keras_lm.tasks.text_entities import TextEntities
from keras_lm.training import LanguageModel
from keras_lm.training.losses import token_cross_entropy

Tensor = Any


class Entity(NamedTuple):
    """A part of a text.

    Attributes:
        text: as it stands there: `text[start:end]`.
        type: of the tags `B-PER` and `I-PER` PER; of plain tags the tag.
        start: place of its first character.
        end: place behind its last one.
        score: mean probability of the tags of its words.
    """

    text: str
    type: str
    start: int
    end: int
    score: float


class FoundEntities(NamedTuple):
    """What was found in texts; of a single text the values alone.

    Attributes:
        entities: for each text a list of `Entity`, in the order of the text.
        cut: bool `(N,)`, whether a text was too long and its start alone was read.
    """

    entities: Any
    cut: Any


@keras.saving.register_keras_serializable("keras_lm")
class TokenClassifier(Task):
    """Classifies each token by its hidden state.

    Source: Devlin et al. 2019, arXiv:1810.04805, section 5.3 and figure 4 (d).

    Args:
        model: a model of the zoo, whose encoder (GPT: decoder) it shares; heads are left behind.
        labels: names of the classes, class 0 first, or their number C. Names such as `O`, `B-PER`
            and `I-PER` say how words make entities, see `keras_lm.data.tags`.
        dropout_rate: before the last layer. None: as the family has it in Transformers.

    Call arguments:
        inputs: a dict, or `token_ids` alone:
            `token_ids`: int `(B, T)`;
            `segment_ids`: int `(B, T)`; not read by models without segments;
            `padding_mask`: bool `(B, T)`, True where a token is no padding; left out: True;
            `document_ids`: int `(B, T)`, equal within a document of a packed row.

    Returns:
        float32 logits `(B, T, C)`.

    `compile` without a loss: cross-entropy of the classes, int `(B, T)`, weighted by the sample
    weights, `(B, T)` or `(B,)`. Padding and negative labels (Transformers' -100) never count.

    Attributes:
        labels: the names, a tuple.

    Raises:
        ValueError: a model that a task can't stand on, or labels that are no different names.
    """

    HEADS = ("token_classification",)

    def __init__(
        self,
        model: LanguageModel,
        labels: Iterable[str] | int,
        *,
        dropout_rate: float | None = None,
        **kwargs: Any,
    ) -> None:
        names = label_names(labels, least=2)
        super().__init__(model, heads=self.HEADS, **kwargs)
        if not self.head_kind.for_tokens:
            raise ValueError(
                "Tokens are classified by an encoder or a decoder, not by both. "
                f"Received: a {type(model).__name__}"
            )
        self.record(labels=names)
        self.labels = names
        self.dropout = self.head_dropout(dropout_rate, self.head_kind.token_dropout)
        self.token_classifier = self.head_layer(len(names), "token_classifier")

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight, from the sizes alone."""
        self.build_layers(self.token_classifier)

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        """Classifies; see the class."""
        x_BTD = self.dropout(self.hidden_states(inputs, training=training), training=training)
        return tf.cast(self.token_classifier(x_BTD), "float32")

    def head_weights(self, head: str, inputs: Any, labels: Tensor, weights: Tensor) -> Tensor:
        """Returns the weights `(B, T)`: 0 for padding and for negative labels."""
        weight_BT = tf.cast(tf.convert_to_tensor(labels) >= 0, tf.float32)
        inputs = as_inputs(inputs)
        if "padding_mask" in inputs:
            weight_BT *= tf.cast(tf.cast(inputs["padding_mask"], "bool"), tf.float32)
        if weights is None:
            return weight_BT
        weights = tf.cast(weights, tf.float32)
        return weight_BT * (weights[:, None] if weights.shape.rank == 1 else weights)

    def head_loss(
        self, head: str, labels: Tensor, outputs: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns the cross-entropy of each token and its weight."""
        return token_cross_entropy(labels, outputs, weights, label_smoothing=self.label_smoothing)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Finds entities, or classifies words; or returns the outputs for data. See `Task.predict`.

        Words are BERT's: punctuation marks are words of their own. The first token of a word says
        what it is.

        Returns:
            Of texts `FoundEntities`: what the export answers. With plain tags without an `O` every
            word is one; with an `O` neighbours of one tag are.
        """
        return super().predict(x, *args, **kwargs)

    def predict_texts(
        self, texts: list[list[Any]], single: bool, *, batch_size: int | None, verbose: Any
    ) -> FoundEntities:
        """Finds entities; see `predict`."""
        if len(texts) > 1:
            raise ValueError("Words are classified in texts, not in pairs. Received: pairs")
        tokenizer = self.require_tokenizer("predict() of texts")
        graphs = made_once(TextEntities, self, tokenizer)
        found = answers(graphs.in_text, texts, batch_size, verbose)
        names = ("entities", "types", "starts", "ends", "scores")
        entities = [
            [
                Entity(text.decode(), kind.decode(), int(start), int(end), float(score))
                for text, kind, start, end, score in zip(
                    *(answer[name][: answer["count"]] for name in names), strict=True
                )
            ]
            for answer in found
        ]
        cut = np.array([answer["status"] != 0 for answer in found])
        return FoundEntities(entities[0], bool(cut[0])) if single else FoundEntities(entities, cut)

    def attributions(
        self,
        texts: Any,
        at: Any,
        target: Any = None,
        *,
        steps: int = 50,
        baseline: str | None = None,
        output: str = "probability",
        batch_size: int | None = None,
    ) -> Any:
        """Says by how much each token moved the class of one; see `TextClassifier.attributions`.

        Args:
            texts: a string, or a list of strings.
            at: the place of a character of the token, such as the `start` of an `Entity`; of
                several texts a list with one for each.
            target: see `TextClassifier.attributions`.
            steps: see there.
            baseline: see there.
            output: see there.
            batch_size: see there.

        Returns:
            `Attribution`; of several texts a list of them.

        Raises:
            ValueError: see there; or no token that was read has that character.
        """
        return attributions(
            self,
            texts,
            target,
            at,
            steps=steps,
            baseline=baseline,
            output=output,
            batch_size=batch_size,
        )

    def check_labels(self, labels: Any) -> None:
        """Raises for labels in a NumPy array that can't be."""
        check_classes(labels, len(self.labels), least=-math.inf)
