"""The first requests of a version, before anybody else asks it.

TensorFlow optimizes a graph when it runs for the first time. The requests stand in
`assets.extra/tf_serving_warmup_requests`, a TFRecord of PredictionLog messages, at most 1,000:
TensorFlow Serving's own file.
"""

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from keras_lm.serving.server import examples
from keras_lm.serving.server.proto_tensors import arrays_from
from keras_lm.serving.server.servable import Servable
from keras_lm.serving.server.signature import DEFAULT, find
from keras_lm.serving.server.statuses import invalid

FILE = pathlib.Path("assets.extra", "tf_serving_warmup_requests")
_MOST = 1000


def warm_up(servable: Servable) -> int:
    """Runs the requests that stand in the version's file; where there is none, one empty row.

    Returns:
        How many ran.

    Raises:
        ServingError: the file is not one, or a request is not one that the model takes.
        tf.errors.OpError: a request failed.
    """
    path = servable.path / FILE
    if not path.exists():
        return _run_empty_row(servable)
    count = 0
    for log in _logs(path):
        count += 1
        if count > _MOST:
            raise invalid(f"Number of warmup records exceeds the maximum ({_MOST})")
        _run(servable, log)
    return count


def _run_empty_row(servable: Servable) -> int:
    signature = servable.signatures.get(DEFAULT)
    if signature is None or not signature.joinable:
        return 0
    feeds = {}
    for info in signature.inputs.values():
        sizes = [1 if dim.size == -1 else dim.size for dim in info.tensor_shape.dim]
        dtype = tf.as_dtype(info.dtype)
        empty = b"" if dtype == tf.string else 0
        feeds[info.name] = np.full(sizes, empty, dtype.as_numpy_dtype)
    try:
        servable.run(feeds, list(signature.fetches().values()))
    except tf.errors.OpError:
        return 0  # a model may well refuse an empty row
    return 1


def _logs(path: pathlib.Path) -> Iterator[Any]:
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog()
        try:
            log.ParseFromString(record)
        except DecodeError as error:
            raise invalid("Failed to parse warmup record") from error
        yield log


def _run(servable: Servable, log: Any) -> None:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        request = log.predict_log.request
        signature = find(servable.signatures, request.model_spec.signature_name)
        feeds = signature.feeds(arrays_from(request.inputs))
        servable.run(feeds, list(signature.fetches(request.output_filter).values()))
    elif kind in ("classify_log", "regress_log"):
        request = getattr(log, kind).request
        name = request.model_spec.signature_name
        method = examples.CLASSIFY if kind == "classify_log" else examples.REGRESS
        asked = method.signature(servable.signatures, name)
        feeds = asked.feeds({examples.INPUTS: examples.serialized(request.input)})
        servable.run(feeds, list(asked.fetches(method.outputs(asked)).values()))
    else:
        raise invalid(f"A warmup record must be predict, classify or regress. Received: {kind}")
