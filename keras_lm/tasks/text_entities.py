"""Texts to the entities in them, or to the classes of their words, in one graph.

`TokenClassifier.predict` calls it from Python; the export traces the same functions.

B batch, T length, C classes, W words of all texts that were read, E entities of all texts, M
entities of the text that has most.
"""

from typing import Any

import tensorflow as tf

from keras_lm.data.tags import TagScheme
from keras_lm.models.interface import graph
from keras_lm.models.limits import CUT
from keras_lm.tasks.text_rows import Inputs, TextRows

Tensor = Any


class TextEntities:
    """A token classifier behind its tokenizer; writes no variable, so calls may run concurrently.

    Args:
        model: a built `TokenClassifier`.
        tokenizer: its tokenizer.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.rows = model, TextRows(tokenizer, model.max_length)
        self.tokenizer = tokenizer
        self.before = 0 if tokenizer.cls_id is None else 1  # tokens before those of the text
        tags = [TagScheme(model.labels).tags[name] for name in model.labels]
        types = list(dict.fromkeys(["", *(tag.type for tag in tags)]))
        self.names_C = tf.constant(model.labels)
        self.types = tf.constant(types)
        self.type_C = tf.constant([types.index(tag.type) for tag in tags])
        self.opens_C = tf.constant([tag.opens for tag in tags])
        self.closes_C = tf.constant([tag.closes for tag in tags])
        self.in_text = graph(self._in_text, tf.TensorSpec([None], "string"))
        ids, row = tf.TensorSpec([None, None], "int32"), tf.TensorSpec([None], "int32")
        self.of_ids = graph(self._of_ids, ids, row)

    def _in_text(self, text: Tensor) -> dict[str, Tensor]:
        """Finds the entities of texts; the first token of a word says what it is.

        Args:
            text: string `(B,)`.

        Returns:
            `entities` string `(B, M)`, as they stand in the text; `types` string `(B, M)`; `starts`
            and `ends` int32 `(B, M)`, where they begin and end, in characters; `scores` float32
            `(B, M)`, the mean probability of the tags of their words; `count` int32 `(B,)`, the
            entities of each row: behind them stand "" and -1; `status` int32 `(B,)`, 0 or `CUT`.
        """
        start_B, cut_B = self.rows.start_of(text)
        # What is no UTF-8 is a character here, too.
        start_B = tf.strings.unicode_transcode(start_B, "UTF-8", "UTF-8", errors="replace")
        found = self.tokenizer.tokenize_words(start_B)
        inputs, too_long_B = self.rows.pack(found.ids)
        class_BT, score_BT = self._classes(inputs)

        read_W = found.tokens.flat_values < self.model.max_length - self._num_special
        places = tf.where(read_W)[:, 0]
        row_W = tf.gather(found.tokens.value_rowids(), places)
        token_W = tf.gather(found.tokens.flat_values, places) + self.before
        cell_W2 = tf.stack([tf.cast(row_W, "int32"), token_W], axis=1)
        class_W, score_W = tf.gather_nd(class_BT, cell_W2), tf.gather_nd(score_BT, cell_W2)

        inside_W, begins_W = self._borders(class_W, row_W)
        entity_W = tf.where(inside_W, tf.cumsum(tf.cast(begins_W, "int32")) - 1, -1)
        begin_E = tf.where(begins_W)[:, 0]
        number = tf.size(begin_E)
        row_E = tf.gather(row_W, begin_E)
        starts_E = tf.gather(tf.gather(found.starts.flat_values, places), begin_E)
        ends_W = tf.gather(found.ends.flat_values, places)
        ends_E = tf.math.unsorted_segment_max(ends_W, entity_W, number)
        columns = {
            "entities": tf.strings.substr(
                tf.gather(start_B, row_E), starts_E, ends_E - starts_E, unit="UTF8_CHAR"
            ),
            "types": tf.gather(self.types, tf.gather(self.type_C, tf.gather(class_W, begin_E))),
            "starts": starts_E,
            "ends": ends_E,
            "scores": tf.math.unsorted_segment_mean(score_W, entity_W, number),
        }
        ragged = {
            name: tf.RaggedTensor.from_value_rowids(
                values, row_E, nrows=tf.size(text, "int64"), validate=False
            )
            for name, values in columns.items()
        }
        return {
            **{
                name: rows.to_tensor("" if rows.dtype == tf.string else -1)
                for name, rows in ragged.items()
            },
            "count": tf.cast(ragged["starts"].row_lengths(), "int32"),
            "status": CUT * tf.cast(cut_B | too_long_B, "int32"),
        }

    def _borders(self, class_W: Tensor, row_W: Tensor) -> tuple[Tensor, Tensor]:
        """Which words are in an entity, and with which one begins; see `TagScheme.entities`."""
        type_W = tf.gather(self.type_C, class_W)
        inside_W = type_W > 0
        same_row_W = row_W[1:] == row_W[:-1]
        goes_on_W = same_row_W & (type_W[1:] == type_W[:-1])
        goes_on_W &= ~tf.gather(self.closes_C, class_W)[:-1]
        # Nothing goes on with the first word of all.
        goes_on_W = tf.concat([tf.zeros_like(inside_W[:1]), goes_on_W], axis=0)
        return inside_W, inside_W & (tf.gather(self.opens_C, class_W) | ~goes_on_W)

    def _of_ids(self, token_ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Classifies every token of rows of ids, special tokens included.

        Args:
            token_ids: int32 `(B, T)`, padded on the right; see `TextRows.read_ids`.
            lengths: int32 `(B,)`, of each row without its padding.

        Returns:
            `tags` string `(B, T)`, the likeliest of each token; `scores` float32 `(B, T)`, its
            probability; `count` int32 `(B,)`, the tokens that were read: behind them stand "" and
            -1; `status` int32 `(B,)`, 0 or `CUT`.
        """
        inputs, cut_B = self.rows.read_ids(token_ids, lengths)
        class_BT, score_BT = self._classes(inputs)
        real_BT = inputs["padding_mask"]
        return {
            "tags": tf.where(real_BT, tf.gather(self.names_C, class_BT), ""),
            "scores": tf.where(real_BT, score_BT, -1.0),
            "count": tf.reduce_sum(tf.cast(real_BT, "int32"), axis=1),
            "status": CUT * tf.cast(cut_B, "int32"),
        }

    def _classes(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """The likeliest class of each token, int32 `(B, T)`, and its probability."""
        score_BTC = tf.nn.softmax(self.model(inputs, training=False))
        return tf.argmax(score_BTC, -1, output_type="int32"), tf.reduce_max(score_BTC, axis=-1)

    @property
    def _num_special(self) -> int:
        return len(self.tokenizer.encode(""))
