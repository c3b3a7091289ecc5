"""JSON bodies of Predict as arrays, and arrays as JSON: row format and column format.

The rules, and the messages for what breaks them, are those of TensorFlow Serving
(util/json_tensor.cc), with what tensorflow.org/tfx/serving/api_rest documents.
"""

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.serving.server.json_text import as_bytes, excerpt, kind_of
from keras_lm.serving.server.signature import Arrays, Signature
from keras_lm.serving.server.statuses import Code, ServingError, invalid

# Deeper lists are tensors of no model; arrays have at most 64 dimensions.
_MOST_DIMENSIONS = 32
_RANGES = {
    tf.int8: (-(2**7), 2**7 - 1),
    tf.uint8: (0, 2**8 - 1),
    tf.int16: (-(2**15), 2**15 - 1),
    tf.int32: (-(2**31), 2**31 - 1),
    tf.int64: (-(2**63), 2**63 - 1),
    tf.uint32: (0, 2**32 - 1),
    tf.uint64: (0, 2**64 - 1),
}


def inputs_from(document: dict[str, Any], signature: Signature) -> tuple[Arrays, bool]:
    """Reads the tensors of a request.

    Args:
        document: the body.
        signature: what it is for.

    Returns:
        The inputs by alias, and whether they came row by row.

    Raises:
        ServingError: the body is not in one of the two formats.
    """
    if not signature.inputs:
        raise invalid(f"Failed to get input map for signature: {signature.name}")
    if "instances" in document:
        if "inputs" in document:
            raise _bad_form(
                document,
                "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to "
                "exist ",
            )
        instances = document["instances"]
        if not isinstance(instances, list):
            raise _bad_form(document, "Expecting 'instances' to be an list/array")
        if not instances:
            raise _bad_form(document, "No values in 'instances' array")
        return _from_rows(instances, signature), True
    if "inputs" in document:
        return _from_columns(document["inputs"], signature), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _from_rows(instances: list[Any], signature: Signature) -> Arrays:
    names = list(signature.inputs)
    if not isinstance(instances[0], dict) and len(names) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    are_objects = _is_object(instances[0])
    columns = {name: _Column(tf.as_dtype(signature.inputs[name].dtype)) for name in names}
    for number, row in enumerate(instances):
        if are_objects != _is_object(row):
            what = "object but got list" if are_objects else "value/list but got object"
            raise invalid(f"Expecting {what} at item {number} of input list")
        if not are_objects:
            try:
                columns[names[0]].add(row)
            except ServingError as error:
                raise invalid(
                    f"Failed to process element: {number} of 'instances' list. Error: {error}"
                ) from None
            continue
        for name, value in row.items():
            try:
                if name not in columns:
                    raise invalid(f"JSON object: does not have named input: {name}")
                columns[name].add(value)
            except ServingError as error:
                raise invalid(
                    f"Failed to process element: {number} key: {name} of 'instances' list. "
                    f"Error: {error}"
                ) from None
        if len(row) != len(names):
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. JSON object: "
                f"{excerpt(row)} keys must be equal to: {','.join(names)}"
            )
    return {name: column.array() for name, column in columns.items()}


def _from_columns(value: Any, signature: Signature) -> Arrays:
    infos = signature.inputs
    if not _is_object(value):
        if len(infos) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        name, info = next(iter(infos.items()))
        return {name: _dense(value, tf.as_dtype(info.dtype))}
    found = {}
    for name, info in infos.items():
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        found[name] = _dense(value[name], tf.as_dtype(info.dtype))
    return found


class _Column:
    """One input of all rows: each must have the shape of the first."""

    def __init__(self, dtype: tf.DType) -> None:
        self._dtype, self._convert = dtype, _converter(dtype)
        self._shape: list[int] | None = None
        self._values: list[Any] = []
        self._rows = 0

    def add(self, value: Any) -> None:
        shape = _shape(value)
        before = len(self._values)
        _fill(value, 0, shape, self._convert, self._values)
        if self._shape is None:
            self._shape = shape
        size, expected = len(self._values) - before, math.prod(self._shape)
        if size != expected:
            raise invalid(f"Expecting tensor size: {expected} but got: {size}")
        if shape != self._shape:
            raise invalid(f"Expecting shape {_listed(self._shape)} but got: {_listed(shape)}")
        self._rows += 1

    def array(self) -> np.ndarray:
        return _array(self._values, [self._rows, *(self._shape or [])], self._dtype)


def _dense(value: Any, dtype: tf.DType) -> np.ndarray:
    shape = _shape(value)
    values: list[Any] = []
    _fill(value, 0, shape, _converter(dtype), values)
    return _array(values, shape, dtype)


def _array(values: list[Any], shape: list[int], dtype: tf.DType) -> np.ndarray:
    if dtype == tf.string:
        found = np.empty(len(values), dtype=object)
        found[:] = values
        return found.reshape(shape)
    if dtype.is_floating:
        # A number that is too large for the type becomes infinite, without a warning.
        with np.errstate(over="ignore"):
            try:
                wide = np.array(values, np.float64)
            except OverflowError:
                raise invalid("JSON Parse error: Number too big to be stored in double.") from None
            return wide.astype(dtype.as_numpy_dtype).reshape(shape)
    return np.array(values, dtype.as_numpy_dtype).reshape(shape)


def _shape(value: Any) -> list[int]:
    """The shape that the first elements say."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > _MOST_DIMENSIONS:
            raise invalid(f"A tensor must have at most {_MOST_DIMENSIONS} dimensions")
        if not value:
            break
        value = value[0]
    return shape


def _fill(
    value: Any, level: int, shape: list[int], convert: Callable[[Any], Any], values: list[Any]
) -> None:
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise invalid(
                f"JSON Value: {excerpt(value)} found at incorrect level: {level + 1} in the JSON "
                f"DOM. Expected at level: {rank}"
            )
        values.append(convert(value))
        return
    if level >= rank:
        raise invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for element in value:
        _fill(element, level + 1, shape, convert, values)


def _converter(dtype: tf.DType) -> Callable[[Any], Any]:
    if dtype == tf.string:
        return _string
    if dtype in (tf.float32, tf.float64):
        return lambda v: v if _is_number(v) else _wrong_type(v, dtype)
    if dtype == tf.bool:
        return lambda v: v if isinstance(v, bool) else _wrong_type(v, dtype)
    if dtype in _RANGES:
        low, high = _RANGES[dtype]

        def whole(value: Any) -> int:
            fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
            return value if fits else _wrong_type(value, dtype)

        return whole

    def unknown(value: Any) -> Any:
        raise ServingError(
            Code.UNIMPLEMENTED,
            f"Conversion of JSON Value: {excerpt(value)} to type: {dtype.name}",
        )

    return unknown


def _string(value: Any) -> bytes:
    if isinstance(value, str):
        return as_bytes(value)
    if isinstance(value, dict):
        return from_base64(value)
    return _wrong_type(value, tf.string)


def from_base64(value: Any) -> bytes:
    """The bytes of `{"b64": "..."}`.

    Raises:
        ServingError: it is something else.
    """
    if not is_base64(value):
        raise invalid(f"JSON Value: {excerpt(value)} not formatted correctly for base64 data")
    try:
        return base64.b64decode(_padded(value["b64"]), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def _padded(text: str) -> bytes:
    """With the "=" at the end that may be left out."""
    raw = as_bytes(text).rstrip(b"=")
    return raw + b"=" * (-len(raw) % 4)


def is_base64(value: Any) -> bool:
    """Whether it is an object with the one key "b64" and a string."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _wrong_type(value: Any, dtype: tf.DType) -> Any:
    name = {tf.float32: "float", tf.float64: "double"}.get(dtype, dtype.name)
    raise invalid(
        f"JSON Value: {excerpt(value)} Type: {kind_of(value)} is not of expected type: {name}"
    )


def _bad_form(document: Mapping[str, Any], rule: str) -> ServingError:
    return invalid(f"JSON Value: {excerpt(document)} {rule}")


def _listed(shape: list[int]) -> str:
    return f"[{','.join(map(str, shape))}]"
