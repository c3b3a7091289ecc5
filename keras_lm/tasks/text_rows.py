"""Texts, or pairs of texts, to the rows that a task reads, in the graph.

The rows are those of `keras_lm.data.classification`. B batch, T length.
"""

import functools
from typing import Any

import tensorflow as tf

from keras_lm.models.limits import BYTES_PER_TOKEN

Tensor = Any
Inputs = dict[str, Tensor]


class TextRows:
    """Makes rows of at most `max_length` tokens; what is too long loses its end.

    Args:
        tokenizer: of the model.
        max_length: the most that T may be.
    """

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        self.tokenizer, self.max_length = tokenizer, max_length

    def read(self, text: Tensor, text_pair: Tensor | None = None) -> tuple[Inputs, Tensor]:
        """Reads texts of any length; of one that is too long the start.

        Args:
            text: string `(B,)`.
            text_pair: string `(B,)`, the second texts; or None.

        Returns:
            `token_ids` int32 `(B, T)`, `padding_mask` bool `(B, T)` and, where the tokenizer has
            segments, `segment_ids` int32 `(B, T)`; bool `(B,)`, whether a text was cut.
        """
        texts = [text] if text_pair is None else [text, text_pair]
        starts, cut_by_bytes_B = zip(*map(self.start_of, texts), strict=True)
        inputs, cut_B = self.pack(*map(self.tokenizer.tokenize, starts))
        return inputs, functools.reduce(tf.logical_or, cut_by_bytes_B, cut_B)

    def start_of(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """As much of texts `(B,)` as a row may need; bool `(B,)`, whether that is not all."""
        limit = BYTES_PER_TOKEN * self.max_length
        return tf.strings.substr(text, 0, limit), tf.strings.length(text) > limit

    def pack(self, *ids: Tensor) -> tuple[Inputs, Tensor]:
        """Packs ids of texts, or of first and second texts, RaggedTensors `(B, None)`.

        Returns:
            As `read`.
        """
        special = len(self.tokenizer.encode(*[""] * len(ids)))
        whole_B = tf.add_n([part.row_lengths() for part in ids]) + special
        packed = self.tokenizer.pack(*ids, max_length=self.max_length)
        longest = tf.reduce_max(tf.concat([whole_B, [1]], 0))
        width = tf.minimum(tf.cast(longest, "int32"), self.max_length)
        rows = {name: values[:, :width] for name, values in packed.items()}
        return rows, whole_B > self.max_length

    def read_ids(
        self, token_ids: Tensor, lengths: Tensor, pairs: bool = False
    ) -> tuple[Inputs, Tensor]:
        """Reads rows of ids of any length, special tokens included.

        Args:
            token_ids: int32 `(B, T)`, padded on the right; ids outside the vocabulary are read as
                the unknown token.
            lengths: int32 `(B,)`, of each row without its padding.
            pairs: whether the rows are of pairs. Then, where the tokenizer has segments, what
                stands behind the first separator is the second.

        Returns:
            As `read`.
        """
        tokenizer = self.tokenizer
        cut_B = lengths > self.max_length
        ids_BT = token_ids[:, : self.max_length]
        inside_BT = (ids_BT >= 0) & (ids_BT < tokenizer.vocab_size)
        ids_BT = tf.where(inside_BT, ids_BT, tokenizer.unk_id or 0)
        real_BT = tf.sequence_mask(lengths, tf.shape(ids_BT)[1])
        inputs = {"token_ids": ids_BT, "padding_mask": real_BT}
        if pairs and tokenizer.has_segments:
            is_sep_BT = tf.cast(ids_BT == tokenizer.sep_id, "int32")
            behind_BT = tf.cumsum(is_sep_BT, axis=1, exclusive=True) > 0
            inputs["segment_ids"] = tf.cast(behind_BT & real_BT, "int32")
        return inputs, cut_B
