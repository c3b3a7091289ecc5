"""Requests over gRPC, with the stubs of `tensorflow-serving-api`.

Their messages hold TensorFlow's own, so importing them imports TensorFlow, which takes seconds.
"""

from collections.abc import Callable, Mapping
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_lm.serving.client.errors import error_of
from keras_lm.serving.client.metadata import Signature, TensorSpec, VersionStatus
from keras_lm.serving.client.retrying import Deadline, RefusedError
from keras_lm.serving.client.transport import Arrays, Target

_STATES = get_model_status_pb2.ModelVersionStatus.State


class GrpcTransport:
    """Sends requests over gRPC.

    Args:
        address: `host:port`.
        token: sent as a bearer token. None: nothing is.
        credentials: of TLS. None: the connection is not encrypted.
    """

    def __init__(
        self, address: str, token: str | None, credentials: grpc.ChannelCredentials | None
    ) -> None:
        options = (
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            # Whether a request is sent again is said in `retrying` alone.
            ("grpc.enable_retries", 0),
            # A server that was away is asked again as soon as a caller asks again.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2000),
        )
        if credentials is None:
            self._channel = grpc.insecure_channel(address, options)
        else:
            self._channel = grpc.secure_channel(address, credentials, options)
        self._metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._model = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(
        self,
        target: Target,
        name: str,
        signature: Signature,
        inputs: Mapping[str, np.ndarray],
        deadline: Deadline,
    ) -> Arrays:
        """See `Transport`."""
        request = predict_pb2.PredictRequest()
        _fill(request.model_spec, target)
        request.model_spec.signature_name = name
        for key, value in inputs.items():
            tensor = tf.make_tensor_proto(value, signature.inputs[key].dtype, value.shape)
            request.inputs[key].CopyFrom(tensor)
        response = self._send(self._prediction.Predict, request, target.model, deadline)
        return {key: _array(key, tensor) for key, tensor in response.outputs.items()}

    def signatures(self, target: Target, deadline: Deadline) -> dict[str, Signature]:
        """See `Transport`."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        _fill(request.model_spec, target)
        response = self._send(self._prediction.GetModelMetadata, request, target.model, deadline)
        found = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(found)
        return {
            name: Signature(
                _specs(definition.inputs), _specs(definition.outputs), definition.method_name
            )
            for name, definition in sorted(found.signature_def.items())
            if not name.startswith("__saved_model_")
        }

    def statuses(self, target: Target, deadline: Deadline) -> list[VersionStatus]:
        """See `Transport`."""
        request = get_model_status_pb2.GetModelStatusRequest()
        _fill(request.model_spec, target)
        response = self._send(self._model.GetModelStatus, request, target.model, deadline)
        return [
            VersionStatus(told.version, _STATES.Name(told.state), told.status.error_message)
            for told in response.model_version_status
        ]

    def close(self) -> None:
        """See `Transport`."""
        self._channel.close()

    def _send(
        self, method: Callable[..., Any], request: Any, model: str, deadline: Deadline
    ) -> Any:
        try:
            return method(request, timeout=deadline.left(), metadata=self._metadata)
        except grpc.RpcError as error:
            code, words = error.code(), error.details() or ""
            if code == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise deadline.passed() from None
            failure = error_of(code.name, words, model)
            if code == grpc.StatusCode.UNAVAILABLE:
                raise RefusedError(failure) from None
            raise failure from None


def _fill(spec: Any, target: Target) -> None:
    spec.name = target.model
    if target.version is not None:
        spec.version.value = target.version
    elif target.label is not None:
        spec.version_label = target.label


def _specs(tensors: Mapping[str, Any]) -> dict[str, TensorSpec]:
    found = {}
    for name, info in sorted(tensors.items()):
        shape = info.tensor_shape
        sizes = None if shape.unknown_rank else tuple(dim.size for dim in shape.dim)
        found[name] = TensorSpec(tf.as_dtype(info.dtype).name, sizes)
    return found


def _array(name: str, tensor: Any) -> np.ndarray:
    value = tf.make_ndarray(tensor)
    if value.dtype.kind not in "OS":
        return value
    found = np.empty(value.shape, object)
    flat = value.reshape(-1).tolist()
    is_text = not name.endswith("_bytes")  # TensorFlow Serving's sign for bytes that are no text
    found.reshape(-1)[:] = [v.decode("utf-8", "replace") if is_text else v for v in flat]
    return found
