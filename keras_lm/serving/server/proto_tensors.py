"""Tensors of a gRPC message as arrays, and arrays as tensors of a message."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from keras_lm.serving.server.signature import Arrays
from keras_lm.serving.server.statuses import invalid

# A tensor of a few bytes may stand for one value many times over: it is made no larger than this.
_MOST_ELEMENTS = 2**26


def arrays_from(tensors: Mapping[str, Any]) -> Arrays:
    """Arrays of TensorProto messages by name; strings as arrays of bytes objects.

    Raises:
        ServingError: a message is not a tensor.
    """
    return {name: _array(name, tensor) for name, tensor in tensors.items()}


def tensors_to(arrays: Mapping[str, np.ndarray], tensors: Any) -> None:
    """Writes arrays into a map of TensorProto messages."""
    for name, value in arrays.items():
        tensors[name].CopyFrom(tensor_from(value))


def tensor_from(value: np.ndarray) -> Any:
    """A TensorProto of an array."""
    if value.dtype.kind in "OS":
        tensor = tensor_pb2.TensorProto(dtype=tf.string.as_datatype_enum)
        tensor.tensor_shape.CopyFrom(tf.TensorShape(value.shape).as_proto())
        tensor.string_val.extend(value.reshape(-1).tolist())
        return tensor
    return tf.make_tensor_proto(value)


def _array(name: str, tensor: Any) -> np.ndarray:
    try:
        sizes = [dim.size for dim in tensor.tensor_shape.dim]
        if tensor.tensor_shape.unknown_rank or min(sizes, default=0) < 0:
            raise ValueError("its shape must be known")
        if math.prod(sizes) > _MOST_ELEMENTS:
            raise ValueError(f"it must have at most {_MOST_ELEMENTS} elements")
        value = tf.make_ndarray(tensor)
        if value.dtype.kind == "S":
            value = value.astype(object)
        return value
    except (ValueError, TypeError, KeyError, MemoryError) as error:
        raise invalid(f"tensor parsing error: {name}") from error
