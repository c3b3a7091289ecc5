"""Texts to their labels and scores, in one graph.

`TextClassifier.predict` calls it from Python; the export traces the same functions.

B batch, T length, C classes, L labels of the row that has most.
"""

import functools
from typing import Any

import tensorflow as tf

from keras_lm.models.interface import graph
from keras_lm.models.limits import CUT
from keras_lm.tasks.text_rows import Inputs, TextRows

Tensor = Any

_LEAST_SCORE = 0.5  # of a label, where a text may have several


class TextLabels:
    """A text classifier behind its tokenizer; writes no variable, so calls may run concurrently.

    Args:
        model: a built `TextClassifier`.
        tokenizer: its tokenizer.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.rows = model, TextRows(tokenizer, model.max_length)
        self.labels_C = tf.constant(model.labels)
        text, ids = tf.TensorSpec([None], "string"), tf.TensorSpec([None, None], "int32")
        self.of_text = graph(self._of_text, text)
        self.of_pair = graph(self._of_text, text, text)
        row = tf.TensorSpec([None], "int32")
        self.of_ids = graph(self._of_ids, ids, row)
        self.of_pair_ids = graph(functools.partial(self._of_ids, pairs=True), ids, row)

    def _of_text(self, text: Tensor, text_pair: Tensor | None = None) -> dict[str, Tensor]:
        """Classifies texts, or pairs.

        Args:
            text: string `(B,)`.
            text_pair: string `(B,)`; or None.

        Returns:
            `scores` float32 `(B, C)`, probabilities; of a regression the numbers. `status` int32
            `(B,)`, 0 or `CUT`. Of one class: `label` string `(B,)`, the likeliest. Of several:
            `labels` string `(B, L)`, those of a probability of at least 0.5, likeliest first, and
            `count` int32 `(B,)`, how many a row has: "" stands behind them.
        """
        return self._answer(*self.rows.read(text, text_pair))

    def _of_ids(self, token_ids: Tensor, lengths: Tensor, pairs: bool = False) -> dict[str, Tensor]:
        """Classifies rows of ids; see `TextRows.read_ids` and `_of_text`."""
        return self._answer(*self.rows.read_ids(token_ids, lengths, pairs))

    def _answer(self, inputs: Inputs, cut_B: Tensor) -> dict[str, Tensor]:
        logits_BC = self.model(inputs, training=False)
        status = {"status": CUT * tf.cast(cut_B, "int32")}
        if self.model.problem == "regression":
            return {"scores": logits_BC, **status}
        if self.model.problem == "single_label":
            best_B = tf.argmax(logits_BC, axis=1, output_type="int32")
            label_B = tf.gather(self.labels_C, best_B)
            return {"label": label_B, "scores": tf.nn.softmax(logits_BC), **status}
        scores_BC = tf.sigmoid(logits_BC)
        count_B = tf.reduce_sum(tf.cast(scores_BC >= _LEAST_SCORE, "int32"), axis=1)
        order_BC = tf.argsort(scores_BC, axis=1, direction="DESCENDING", stable=True)
        order_BL = order_BC[:, : tf.reduce_max(tf.concat([count_B, [0]], 0))]
        real_BL = tf.sequence_mask(count_B, tf.shape(order_BL)[1])
        labels_BL = tf.where(real_BL, tf.gather(self.labels_C, order_BL), "")
        return {"labels": labels_BL, "scores": scores_BC, "count": count_B, **status}
