"""Source texts to the rows that an encoder reads, as `keras_lm.data.seq2seq` makes them.

B batch, S length.
"""

from typing import Any

import tensorflow as tf

from keras_lm.data.decoder_start import closing_id
from keras_lm.models.limits import BYTES_PER_TOKEN
from keras_lm.tokenizers.packing import pack

Tensor = Any


class SourceRows:
    """`[CLS] a [SEP]`, or the text and the end token where a tokenizer has no other.

    Args:
        tokenizer: has an end token or a separator.
        max_length: the most tokens of a row.
    """

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        self.tokenizer, self.max_length = tokenizer, max_length
        self.start_id, self.closing_id = tokenizer.cls_id, closing_id(tokenizer, "sep")

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Makes rows on the host, of any length."""
        before = [] if self.start_id is None else [self.start_id]
        return [[*before, *row, self.closing_id] for row in self.tokenizer.encode_batch(texts)]

    def read(self, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Makes rows in the graph; of a text that is too long the start.

        Args:
            text: string `(B,)`.

        Returns:
            int32 `(B, S)`, padded on the right with 0; int32 `(B,)`, the tokens of each row; bool
            `(B,)`, whether a text was cut.
        """
        limit = BYTES_PER_TOKEN * self.max_length
        ids = self.tokenizer.tokenize(tf.strings.substr(text, 0, limit))
        packed = self.pack(ids, max_length=self.max_length)
        lengths_B = tf.reduce_sum(tf.cast(packed["padding_mask"], "int32"), 1)
        special = 1 if self.start_id is None else 2
        cut_B = (tf.strings.length(text) > limit) | (ids.row_lengths() > self.max_length - special)
        width = tf.reduce_max(tf.concat([lengths_B, [1]], 0))
        return packed["token_ids"][:, :width], lengths_B, cut_B

    def pack(self, ids: Tensor, *, max_length: int) -> dict[str, Tensor]:
        """Makes rows of ids, padded with 0; see `keras_lm.tokenizers.packing.pack`."""
        return pack(
            ids,
            None,
            max_length=max_length,
            start_id=self.start_id,
            separator_id=self.closing_id,
            pad_id=0,
            segments=False,
        )
