"""By how much each token of a text moved its likeness to another one.

The other text, or vector, stays as it is. See `keras_lm.models.explanations.attributing`.

S points of the line, D width of the vectors.
"""

import numbers
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import tensorflow as tf

from keras_lm.models.explanations.attributing import (
    How,
    HowOptions,
    each,
    explained,
    how_asked,
    moved_along,
    single_texts,
)
from keras_lm.models.explanations.attribution import Attribution
from keras_lm.models.explanations.text_tokens import TokenRow, token_row
from keras_lm.models.interface import as_text, graph, made_once
from keras_lm.tasks.attributions import inputs_at, tensors_of, token_table

Tensor = Any

MEASURE = "cosine"
VECTOR = "vector"  # what stands for one in the place of a text


def embedding_attributions(
    model: Any,
    texts: Any,
    other: Any,
    **options: Unpack[HowOptions],
) -> Any:
    """Explains cosines; see `TextEmbedder.attributions`."""
    columns, single = single_texts("texts", texts)
    tokenizer = model.require_tokenizer("attributions()")
    how = how_asked(tokenizer, (MEASURE,), **options)
    number = len(columns)
    if isinstance(other, tf.Tensor):
        other = other.numpy()
    one = _is_one(other)
    others = [other] * number if one else each("other", other, number, single)
    known = [_vector(model, value) for value in others]
    rows = [token_row(tokenizer, [text], model.max_length) for text in columns]
    asked = made_once(_CosineGradients, model, tokenizer)
    found = [asked(row, *pair, how) for row, pair in zip(rows, known, strict=True)]
    return found[0] if single else found


def _is_one(other: Any) -> bool:
    """Whether it is a text or a vector, not several."""
    if isinstance(other, str | bytes):
        return True
    if isinstance(other, np.ndarray):
        return other.ndim == 1 and other.dtype.kind in "fiu"
    return isinstance(other, Sequence) and all(isinstance(x, numbers.Real) for x in other)


def _vector(model: Any, other: Any) -> tuple[str, np.ndarray]:
    """Gives the other's name and its direction, float32 `(D,)`."""
    if isinstance(other, str | bytes):
        name, vector_D = as_text(other), model.predict(other, verbose=0).vectors
    else:
        try:
            name, vector_D = VECTOR, np.asarray(other, "float32")
        except (TypeError, ValueError):
            vector_D = np.zeros(0, "float32")
    size = np.linalg.norm(vector_D)
    if vector_D.shape != (model.hidden_size,) or not 0 < size < np.inf:
        raise ValueError(
            f"other must be a text, or a vector of {model.hidden_size} finite numbers that are not "
            f"all 0. Received: other={other!r:.80}"
        )
    return name, vector_D / size


class _CosineGradients:
    """The gradients of a text embedder, in a graph."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.stack = model, model.stacks[0]
        ids, numbers = tf.TensorSpec([None], "int32"), tf.TensorSpec([None], "float32")
        row = {"token_ids": ids, "segment_ids": ids}
        self.along = graph(self._along, row, numbers, ids, numbers, numbers)

    def __call__(self, row: TokenRow, name: str, other: np.ndarray, how: How) -> Attribution:
        fixed = tensors_of(row), tf.constant(other)
        return explained(row, name, how, lambda *line: self.along(*fixed, *line))

    def _along(
        self, row: dict[str, Tensor], other: Tensor, baseline_ids: Tensor, at: Tensor, by: Tensor
    ) -> tuple[Tensor, Tensor]:
        def outputs(points_STD: Tensor) -> Tensor:
            vector_SD = self.model(inputs_at(self.stack, row, points_STD), training=False)
            return tf.linalg.matvec(tf.math.l2_normalize(vector_SD, axis=1), other)

        return moved_along(token_table(self.stack), row["token_ids"], baseline_ids, outputs, at, by)
