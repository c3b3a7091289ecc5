"""Texts to vectors, in one graph.

`TextEmbedder.predict` calls it from Python; the export traces the same functions.

B batch, T length, D hidden size.
"""

from typing import Any

import tensorflow as tf

from keras_lm.models.interface import graph
from keras_lm.models.limits import CUT
from keras_lm.tasks.text_rows import Inputs, TextRows

Tensor = Any


class TextEmbeddings:
    """A text embedder behind its tokenizer; writes no variable, so calls may run concurrently.

    Args:
        model: a built `TextEmbedder`.
        tokenizer: its tokenizer.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.rows = model, TextRows(tokenizer, model.max_length)
        ids, row = tf.TensorSpec([None, None], "int32"), tf.TensorSpec([None], "int32")
        self.of_text = graph(self._of_text, tf.TensorSpec([None], "string"))
        self.of_ids = graph(self._of_ids, ids, row)

    def _of_text(self, text: Tensor) -> dict[str, Tensor]:
        """Embeds texts.

        Args:
            text: string `(B,)`.

        Returns:
            `embedding` float32 `(B, D)`; `status` int32 `(B,)`, 0 or `CUT`.
        """
        return self._answer(*self.rows.read(text))

    def _of_ids(self, token_ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Embeds rows of ids; see `TextRows.read_ids` and `_of_text`."""
        return self._answer(*self.rows.read_ids(token_ids, lengths))

    def _answer(self, inputs: Inputs, cut_B: Tensor) -> dict[str, Tensor]:
        vector_BD = self.model(inputs, training=False)
        return {"embedding": vector_BD, "status": CUT * tf.cast(cut_B, "int32")}
