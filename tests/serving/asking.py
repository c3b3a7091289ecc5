"""Clients for the tests: plain HTTP and the official stubs."""

import contextlib
import http.client
import json

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc


def ask(port, method, path, body=None, headers=None, timeout=30):
    """Status and bytes of one request over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    with contextlib.closing(connection):
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read()


def ask_json(port, path, body=None, **options):
    """The same, of JSON: GET where there is no body."""
    status, found = ask(port, "GET" if body is None else "POST", path, body, **options)
    return status, json.loads(found)


class Stubs:
    """Both services of one server."""

    def __init__(self, port, credentials=None):
        target = f"127.0.0.1:{port}"
        if credentials is None:
            self.channel = grpc.insecure_channel(target)
        else:
            self.channel = grpc.secure_channel(target, credentials)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.channel.close()


def error_of(call, *arguments, **options):
    """Code and message of a call that fails."""
    try:
        call(*arguments, **options)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    raise AssertionError("the call went well")
