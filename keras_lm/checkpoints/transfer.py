"""Moves tensors between files and weights: a weight at a time in, a piece at a time out."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.checkpoints.family import Family
from keras_lm.checkpoints.matching import Match, Source, shape_in_file, sources_of
from keras_lm.checkpoints.safetensors_writing import TensorToWrite
from keras_lm.checkpoints.tensors import TensorFile

_PIECE_BYTES = 4 * 2**20


def assign(found: Match, file: TensorFile) -> None:
    """Fills a model's weights.

    Args:
        found: of `match`.
        file: the same file.

    Raises:
        ValueError: a number is NaN or infinite, or tensors that must be equal are not.
    """
    for twin, kept in found.tied:
        _check_equal(file, twin, kept)
    for variable, sources in found.sources:
        _assign(variable, sources, file)


def is_prefixed(model: Any) -> bool:
    """Says whether Transformers' model puts a prefix before the backbone: one with a head does."""
    return bool(set(model.heads) - {"text_embedding"})


def tensors_to_write(
    model: Any, family: Family, with_prefix: bool, dtype: str | None = None
) -> list[TensorToWrite]:
    """Gives all weights of a built model as tensors of a file; see `tensors_of`."""
    return tensors_of(model.weights, family, with_prefix, dtype)


def tensors_of(
    weights: Sequence[Any], family: Family, with_prefix: bool, dtype: str | None = None
) -> list[TensorToWrite]:
    """Gives weights of a model as tensors of a file.

    Args:
        weights: of the model.
        family: of the model.
        with_prefix: whether the backbone's names get their prefix.
        dtype: in the file. None: the weights' own.
    """
    tensors = []
    for variable in weights:
        path = family.path_of(variable)
        names = family.names_of(path)
        if not with_prefix:
            names = tuple(name.removeprefix(family.prefix) for name in names)
        for source in sources_of(variable, names, family, path):
            tensors.append(_to_write(variable, source, dtype or variable.dtype))
    return tensors


def _rows_of(num_rows: int, row_bytes: int) -> Iterator[tuple[int, int]]:
    """Cuts rows into pieces."""
    step = max(1, _PIECE_BYTES // max(row_bytes, 1))
    for first in range(0, num_rows, step):
        yield first, min(first + step, num_rows)


def _assign(variable: Any, sources: list[Source], file: TensorFile) -> None:
    """Fills a weight. In TensorFlow's own memory: NumPy's would be a copy more."""
    dtype = variable.dtype
    parts = []
    for source in sources:
        # It copies, so the weight does not depend on the file any more.
        part = tf.cast(tf.constant(file.read(source.name)), dtype)
        part = tf.transpose(part) if source.transposed else part
        part = part[0] if source.is_row else part
        if not tf.reduce_all(tf.math.is_finite(part)):
            raise ValueError(
                f"Weights must be finite numbers, in {dtype} too. Received: "
                f"{file.infos[source.name].file}, whose {source.name} has NaN or infinity"
            )
        parts.append(part)
    # A whole new value: to assign slices would make TensorFlow copy the weight at every later read.
    variable.assign(parts[0] if len(parts) == 1 else tf.concat(parts, -1))


def _check_equal(file: TensorFile, twin: str, kept: str) -> None:
    """Holds a tensor that is stored twice to itself: these models have it once."""
    one, other = file.read(twin), file.read(kept)
    if one.shape == other.shape and all(
        np.array_equal(one[first:last], other[first:last])
        for first, last in _rows_of(len(one), one[:1].nbytes)
    ):
        return
    raise ValueError(
        f"{twin} must equal {kept}, as tied weights do; models with both are not to be had here. "
        f"Received: {file.infos[twin].file}, where they differ"
    )


def _to_write(variable: Any, source: Source, name: str) -> TensorToWrite:
    dtype = np.dtype(tf.as_dtype(name).as_numpy_dtype)
    shape = (*variable.shape[:-1], source.last - source.first)
    row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize

    def pieces() -> Iterator[np.ndarray]:
        value = tf.convert_to_tensor(variable.value)
        if len(shape) == 1:
            yield _cast(value[source.first : source.last], dtype, source.name)
        elif source.transposed:  # Its rows are the columns here.
            for first, last in _rows_of(shape[1], shape[0] * dtype.itemsize):
                columns = slice(source.first + first, source.first + last)
                yield _cast(value[:, columns], dtype, source.name).T
        else:
            for first, last in _rows_of(shape[0], row_bytes):
                yield _cast(value[first:last, source.first : source.last], dtype, source.name)

    return TensorToWrite(source.name, shape_in_file(variable, source), dtype, pieces)


def _cast(piece: Any, dtype: np.dtype, name: str) -> np.ndarray:
    """Gives a piece in the file's dtype."""
    found = tf.cast(piece, dtype)
    if found.dtype != piece.dtype and not tf.reduce_all(tf.math.is_finite(found)):
        raise ValueError(
            f"Weights must be finite numbers in the dtype of the file. Received: dtype={dtype}, "
            f"for which {name} is too large"
        )
    return found.numpy()
