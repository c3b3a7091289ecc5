"""Long lists, cut into requests, and their answers put together again."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from keras_lm.serving.client.metadata import Signature
from keras_lm.serving.client.transport import Arrays


def inputs_for(
    name: str, signature: Signature, given: Mapping[str, Any] | Any, model: str
) -> Arrays:
    """A caller's values as arrays of the dtypes that a signature takes.

    Args:
        name: of the signature.
        signature: it.
        given: values by name; or of one input its value.
        model: for errors.

    Raises:
        ValueError: an input is missing, unknown or nothing of its dtype.
    """
    if not isinstance(given, Mapping):
        given = {next(iter(signature.inputs), ""): given} if len(signature.inputs) == 1 else {}
    if set(given) != set(signature.inputs):
        raise ValueError(
            f"Signature {name!r} of model {model!r} takes {_listed(signature.inputs)}. "
            f"Received: {_listed(given) or 'no names'}"
        )
    return {key: _array(key, given[key], spec.dtype) for key, spec in signature.inputs.items()}


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(sorted(map(str, names)))


def _array(name: str, value: Any, dtype: str) -> np.ndarray:
    try:
        if dtype != "string":
            return np.asarray(value, np.dtype(dtype))
        found = np.array(value, object)
        flat = [v.encode("utf-8") if isinstance(v, str) else v for v in found.reshape(-1).tolist()]
        if not all(isinstance(v, bytes) for v in flat):
            raise TypeError("str or bytes")
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"Input {name!r} must be {dtype}. Received: {value!r:.80} ({error})"
        ) from error
    encoded = np.empty(len(flat), object)
    encoded[:] = flat
    return encoded.reshape(found.shape)


def pieces(inputs: Arrays, size: int) -> Iterator[Arrays]:
    """The rows of a request in requests of at most `size` rows."""
    (rows,) = {len(value) for value in inputs.values()}
    for begin in range(0, max(rows, 1), size):
        yield {name: value[begin : begin + size] for name, value in inputs.items()}


def can_be_cut(signature: Signature, inputs: Arrays, size: int) -> bool:
    """Whether a request has more than `size` rows, and rows at all."""
    if not signature.inputs or not signature.has_rows:
        return False
    sizes = {value.shape[0] if value.ndim else -1 for value in inputs.values()}
    return len(sizes) == 1 and sizes.pop() > size


def joined(answers: Sequence[Arrays]) -> Arrays:
    """The answers to pieces as one.

    Where later dimensions differ, since each piece is as wide as its longest row, "" or -1 stands
    behind what is shorter, as in the exports of this package.
    """
    if len(answers) == 1:
        return answers[0]
    found = {}
    for name in answers[0]:
        parts = [answer[name] for answer in answers]
        shape = np.max([part.shape[1:] for part in parts], axis=0).astype(int)
        found[name] = np.concatenate([_widened(part, shape) for part in parts])
    return found


def _widened(part: np.ndarray, shape: np.ndarray) -> np.ndarray:
    if part.shape[1:] == tuple(shape):
        return part
    fill: Any = ("" if part.dtype == object else -1) if part.dtype.kind != "b" else False
    found = np.full((len(part), *shape), fill, part.dtype)
    found[tuple(slice(size) for size in part.shape)] = part
    return found
