"""Where a token stands, added to what it is.

B batch, T length, D width of the input, P width of the positions.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lm.layers.arguments import RecordsArguments
from keras_lm.layers.dense import Dense
from keras_lm.layers.initializers import Initializer, fresh
from keras_lm.layers.rows import known_width, shape_of

Tensor = Any


@keras.saving.register_keras_serializable("keras_lm")
class PositionalEncoding(RecordsArguments, keras.layers.Layer):
    """Adds an encoding of each position to the input.

    Sinusoidal (Vaswani et al. 2017, arXiv:1706.03762, section 3.5): the encoding of position p has
    `sin(p / 10000^(2i/P))` at 2i and the cosine at 2i + 1. Learned (the same section; BERT and
    GPT): a row of a table.

    Args:
        max_length: how many positions there are.
        kind: `"learned"` or `"sinusoidal"`.
        size: P, width of the encoding. None: the width of the input; where it differs, the
            encoding is projected to the width of the input by a kernel `(P, D)` without bias.
        first_row: row of the learned table that belongs to position 0. The rows before it are never
            read: RoBERTa and BART number positions behind their padding id.
        embeddings_initializer: of the learned table; see also `Sinusoids`.
        projection_initializer: of the projection. None: `embeddings_initializer`.

    Call arguments:
        inputs: float `(B, T, D)`.
        offset: int `(B,)` or scalar, the position of each row's first token. None: 0.
        positions: int `(B, T)`, the position of each token; instead of `offset`.

    Returns:
        float `(B, T, D)`, `inputs` and the encodings added up.

    Raises:
        ValueError: an unknown kind; sizes that are not positive; an input longer than `max_length`;
            both `offset` and `positions`.
    """

    def __init__(
        self,
        max_length: int,
        kind: str = "learned",
        size: int | None = None,
        *,
        first_row: int = 0,
        embeddings_initializer: Initializer = "uniform",
        projection_initializer: Initializer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        if kind not in ("learned", "sinusoidal"):
            raise ValueError(f"kind must be 'learned' or 'sinusoidal'. Received: {kind!r}")
        if max_length < 1 or (size is not None and size < 1):
            raise ValueError(
                "max_length and size must be positive. "
                f"Received: max_length={max_length}, size={size}"
            )
        if first_row < 0 or (first_row and kind == "sinusoidal"):
            raise ValueError(
                "first_row is a row of a learned table, 0 or more. "
                f"Received: first_row={first_row}, kind={kind!r}"
            )
        self.max_length, self.kind, self.size = max_length, kind, size
        self.first_row = first_row
        self.embeddings_initializer = embeddings_initializer
        self.projection_initializer = projection_initializer or embeddings_initializer
        self.projection: Dense | None = None

    def build(self, input_shape: tuple[int | None, ...], **shapes: Any) -> None:
        """Makes the table `(first_row + max_length, P)` if learned, and the projection to D."""
        width = known_width(input_shape)
        self.width = self.size or width
        if self.kind == "learned":
            self.embeddings = self.add_weight(
                name="embeddings",
                shape=(self.first_row + self.max_length, self.width),
                initializer=fresh(self.embeddings_initializer),
            )
        if self.width != width:
            self.projection = Dense(
                width,
                use_bias=False,
                kernel_initializer=fresh(self.projection_initializer),
                name="projection",
                dtype=self.dtype_policy,
            )
            self.projection.build((None, self.width))
        self.built = True

    def call(
        self, inputs: Tensor, offset: Tensor | None = None, positions: Tensor | None = None
    ) -> Tensor:
        """Adds the encodings; see the class."""
        length = shape_of(inputs)[1]
        if isinstance(length, int) and length > self.max_length:
            raise ValueError(
                f"The input may have at most max_length={self.max_length} positions. "
                f"Received: {length} positions"
            )
        if positions is not None and offset is not None:
            raise ValueError("Only one of offset and positions can be given. Received: both")
        if positions is None:
            positions = tf.range(length)[None]
            if offset is not None:
                positions += tf.reshape(tf.cast(offset, "int32"), [-1, 1])
        encoding = self._encoding(positions)
        if self.projection is not None:
            encoding = self.projection(encoding)
        return inputs + tf.cast(encoding, inputs.dtype)

    def _encoding(self, positions: Tensor) -> Tensor:
        """Gives the encoding of each position, `(..., P)`."""
        if self.kind == "learned":
            return tf.gather(tf.convert_to_tensor(self.embeddings), positions + self.first_row)
        return sinusoids(positions, self.width)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...], **shapes: Any
    ) -> tuple[int | None, ...]:
        """Leaves the shape as it is."""
        return input_shape


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Encodes positions, see `PositionalEncoding`.

    Args:
        positions: int `(...)`.
        width: P.

    Returns:
        float32 `(..., P)`.
    """
    frequency = 10_000.0 ** (-2 * np.arange((width + 1) // 2) / width)
    angle = tf.cast(positions, "float32")[..., None] * frequency.astype("float32")
    pair = tf.stack([tf.sin(angle), tf.cos(angle)], axis=-1)
    # An odd width has one sine more than cosines.
    return tf.reshape(pair, [*shape_of(angle)[:-1], 2 * len(frequency)])[..., :width]


@keras.saving.register_keras_serializable("keras_lm")
class Sinusoids(keras.initializers.Initializer):
    """Begins a learned table of positions `(rows, P)` with the sinusoidal encodings of its rows."""

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        """Gives the table."""
        return tf.cast(sinusoids(tf.range(shape[0]), shape[1]), dtype or "float32")
