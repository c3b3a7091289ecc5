"""A question and a text to where the answer stands in the text.

B batch, T length.
"""

from typing import Any, ClassVar

import keras
import tensorflow as tf

from keras_lm.layers.attention import MASKED
from keras_lm.layers.inputs import as_inputs
from keras_lm.tasks.labels import check_classes
from keras_lm.tasks.task import Task
from keras_lm.training import LanguageModel
from keras_lm.training.losses import token_cross_entropy

Tensor = Any


@keras.saving.register_keras_serializable("keras_lm")
class QuestionAnswering(Task):
    """Says of each token how likely the answer begins and ends there.

    Source: Devlin et al. 2019, arXiv:1810.04805, section 4.2 and figure 4 (c). No answer is the
    place 0 for both (section 4.3).

    Args:
        model: a model of the zoo, whose encoder (GPT: decoder) it shares; heads are left behind.
        dropout_rate: before the last layer. None: as the family has it in Transformers.

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
        ValueError: a model that a task can't stand on.
    """

    HEADS = ("start", "end")
    LOSS_WEIGHTS: ClassVar[dict[str, float]] = {"start": 0.5, "end": 0.5}

    def __init__(
        self, model: LanguageModel, *, dropout_rate: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(model, heads=self.HEADS, **kwargs)
        self.dropout = self.head_dropout(dropout_rate, self.head_kind.answer_dropout)
        self.span = self.head_layer(2, "span")

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

    def check_labels(self, labels: Any) -> None:
        """Raises for places in NumPy arrays that can't be."""
        if isinstance(labels, dict):
            for places in labels.values():
                check_classes(places, self.max_length)
