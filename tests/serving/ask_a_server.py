"""Asks a server of exports over REST and with the official stubs."""

import numpy as np
import pytest
import tensorflow as tf
from asking import Stubs, ask_json
from tensorflow_serving.apis import predict_pb2

from keras_lm.serving.server.repository import Wish


def close(found, expected):
    """Equal, but for the last digits of decimals."""
    if isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            close(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    else:
        assert found == expected


def assert_served(server, requests, answers):
    """Both protocols give what TensorFlow gives in a process of its own."""
    with Stubs(server.port) as stubs:
        for name, signature, arguments in requests:
            expected = answers[name, signature]
            body = {"signature_name": signature, "inputs": arguments}
            status, answer = ask_json(
                server.rest_port, f"/v1/models/{name}:predict", body, timeout=120
            )
            assert status == 200, (name, signature, answer)
            assert set(answer["outputs"]) == set(expected)
            for alias, value in expected.items():
                close(answer["outputs"][alias], value)
            response = stubs.prediction.Predict(request_of(server, name, signature, arguments))
            for alias, value in expected.items():
                close(texts(tf.make_ndarray(response.outputs[alias])), value)


def request_of(server, name, signature, arguments):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, signature
    with server.repository.use(Wish(name)) as servable:
        inputs = servable.signatures[signature].inputs
    for alias, value in arguments.items():
        dtype = tf.as_dtype(inputs[alias].dtype)
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(value, dtype))
    return request


def texts(value):
    if value.dtype == object and value.size:
        value = np.vectorize(bytes.decode, otypes=[object])(value)
    return value.tolist()
