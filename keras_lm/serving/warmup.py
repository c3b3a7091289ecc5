"""Requests that TensorFlow Serving asks a version before it serves it.

A TFRecord of `tensorflow.serving.PredictionLog` in `assets.extra/tf_serving_warmup_requests`. The
few messages around the tensors are written here, field by field, so that an export needs no package
of TensorFlow Serving; tests read them with the official ones.
Source: tensorflow_serving/apis/prediction_log.proto, predict.proto and model.proto.
"""

import pathlib
from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf

FILE = "tf_serving_warmup_requests"
MOST = 1_000  # TensorFlow Serving refuses a file of more.

# Numbers of the fields.
_LOG_PREDICT = 6
_PREDICT_REQUEST = 1
_REQUEST_MODEL, _REQUEST_INPUTS = 1, 2
_MODEL_NAME, _MODEL_SIGNATURE = 1, 3
_MAP_KEY, _MAP_VALUE = 1, 2


def write_warmup(
    directory: pathlib.Path,
    model: str,
    questions: Iterable[tuple[str, Mapping[str, np.ndarray]]],
) -> None:
    """Writes the file.

    Args:
        directory: `assets.extra` of a version.
        model: the name that it is served under.
        questions: names of signatures, and what each is asked.

    Raises:
        ValueError: there are more than 1,000.
    """
    records = [_predict_log(model, name, asked) for name, asked in questions]
    if len(records) > MOST:
        raise ValueError(f"At most {MOST} requests warm a version up. Received: {len(records)}")
    with tf.io.TFRecordWriter(str(directory / FILE)) as writer:
        for record in records:
            writer.write(record)


def _predict_log(model: str, signature: str, asked: Mapping[str, np.ndarray]) -> bytes:
    spec = _field(_MODEL_NAME, model.encode()) + _field(_MODEL_SIGNATURE, signature.encode())
    request = _field(_REQUEST_MODEL, spec)
    for name, values in asked.items():
        tensor = tf.make_tensor_proto(values).SerializeToString()
        pair = _field(_MAP_KEY, name.encode()) + _field(_MAP_VALUE, tensor)
        request += _field(_REQUEST_INPUTS, pair)
    return _field(_LOG_PREDICT, _field(_PREDICT_REQUEST, request))


def _field(number: int, content: bytes) -> bytes:
    """A field whose content has a length: a string or a message."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*found, number))
