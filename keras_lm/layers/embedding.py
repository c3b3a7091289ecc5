"""Token ids to vectors, and back by the same table."""

from typing import Any

import keras
import tensorflow as tf

from keras_lm.layers.arguments import RecordsArguments
from keras_lm.layers.initializers import Initializer, fresh
from keras_lm.layers.products import few_by_table
from keras_lm.layers.rows import as_before, flat_rows

Tensor = Any


@keras.saving.register_keras_serializable("keras_lm")
class TokenEmbedding(RecordsArguments, keras.layers.Layer):
    """A row of a table for each id; `logits` multiplies by the same table.

    Source: Press and Wolf 2017, arXiv:1608.05859, section 2.

    Args:
        vocab_size: V, number of ids.
        size: D, width of a vector.
        embeddings_initializer: of the table.

    Call arguments:
        token_ids: int of any shape, each in `0 .. vocab_size - 1`. On a CPU another id is an error
            of TensorFlow's; on a GPU TensorFlow gives zeros and says nothing.

    Returns:
        float `(..., D)` in the compute dtype.
    """

    def __init__(
        self,
        vocab_size: int,
        size: int,
        *,
        embeddings_initializer: Initializer = "uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if vocab_size < 1 or size < 1:
            raise ValueError(
                "vocab_size and size must be positive. "
                f"Received: vocab_size={vocab_size}, size={size}"
            )
        self.vocab_size, self.size = vocab_size, size
        self.embeddings_initializer = embeddings_initializer

    def build(self, input_shape: Any = None) -> None:
        """Makes the table `(V, D)`."""
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.vocab_size, self.size),
            initializer=fresh(self.embeddings_initializer),
        )
        self.built = True

    def call(self, token_ids: Tensor) -> Tensor:
        """Looks up; see the class."""
        return tf.gather(tf.convert_to_tensor(self.embeddings), token_ids)

    def logits(self, hidden: Tensor) -> Tensor:
        """Multiplies by the table, float `(..., D)` to float32 `(..., V)`.

        `(B, D)`, one position of each row as in a decode loop, meets the table in pieces.
        """
        table = tf.cast(tf.convert_to_tensor(self.embeddings), hidden.dtype)
        if len(hidden.shape) == 2:
            logits_BV = few_by_table(hidden, table)
        else:
            rows_NV = tf.matmul(flat_rows(hidden), table, transpose_b=True)
            logits_BV = as_before(rows_NV, hidden)
        return tf.cast(logits_BV, "float32")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Adds a dimension of `size`."""
        return (*input_shape, self.size)
