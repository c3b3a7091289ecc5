"""A token, TLS, and bounds: what keeps strangers and their bodies out."""

import contextlib
import gzip
import http.client
import json
import ssl
import threading
import time

import grpc
import pytest
from a_server import serving
from asking import Stubs, ask, ask_json, error_of
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import get_model_status_pb2

from keras_lm.serving.server import BatchingParameters

HALVES, SLOW = "/v1/models/halves:predict", "/v1/models/slow:predict"


@pytest.fixture(scope="module")
def small(models, tmp_path_factory):
    """Two of the models."""
    directory = tmp_path_factory.mktemp("small")
    for name in ("halves", "slow"):
        (directory / name).symlink_to(models / name)
    return directory


def status_request():
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "halves"
    return request


def test_without_the_token_there_is_health_alone(small):
    with serving(small, token="secret") as server, Stubs(server.port) as stubs:
        port = server.rest_port
        for header in (None, "secret", "Basic secret", "Bearer", "Bearer secrets", "Bearer é"):
            headers = {"Authorization": header.encode("latin-1")} if header else {}
            found = ask(port, "GET", "/v1/models/halves", headers=headers)
            assert found[0] == 401, header
            assert ask(port, "POST", HALVES, {"inputs": [1]}, headers)[0] == 401
            assert ask(port, "GET", "/monitoring/prometheus/metrics", headers=headers)[0] == 401
        assert ask(port, "GET", "/readyz")[0] == 200
        allowed = {"Authorization": "Bearer secret"}
        assert ask_json(port, HALVES, {"inputs": [1.0]}, headers=allowed)[0] == 200
        assert ask(port, "GET", "/monitoring/prometheus/metrics", headers=allowed)[0] == 200
        assert error_of(stubs.model.GetModelStatus, status_request())[0] == "UNAUTHENTICATED"
        metadata = (("authorization", "Bearer secret"),)
        assert stubs.model.GetModelStatus(status_request(), metadata=metadata)
        check = health_pb2_grpc.HealthStub(stubs.channel).Check
        states = health_pb2.HealthCheckResponse
        assert check(health_pb2.HealthCheckRequest()).status == states.SERVING


def test_both_ports_speak_tls(small, certificate):
    certificate, key = certificate
    credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
    context = ssl.create_default_context(cafile=str(certificate))
    with serving(small, tls_certificate=certificate, tls_key=key) as server:
        with Stubs(server.port, credentials) as stubs:
            assert stubs.model.GetModelStatus(status_request()).model_version_status
        connection = http.client.HTTPSConnection("127.0.0.1", server.rest_port, context=context)
        with contextlib.closing(connection):
            connection.request("GET", "/v1/models/halves")
            assert connection.getresponse().status == 200


def test_bodies_are_bounded_one_by_one_and_together(small):
    with serving(small, max_body_bytes=2000, max_total_bytes=3000) as server:
        port = server.rest_port
        large = {"inputs": [0.0] * 1000}
        status, answer = ask_json(port, HALVES, large)
        assert (status, answer) == (413, {"error": "A body must have at most 2000 bytes"})
        parts = iter([b'{"inputs": [', b" " * 3000, b"1]}"])
        assert ask(port, "POST", HALVES, parts)[0] == 413  # it did not say how large it is
        bomb = gzip.compress(b'{"inputs": [1.0]}' + b" " * 10_000)
        assert ask(port, "POST", HALVES, bomb, {"Content-Encoding": "gzip"})[0] == 413
        padded = json.dumps({"inputs": [0.7]}) + " " * 1900
        first = threading.Thread(target=ask, args=(port, "POST", SLOW, padded))
        first.start()
        wait_for_requests(server, 1)
        status, answer = ask_json(port, HALVES, padded)
        assert status == 503
        assert "too large together" in answer["error"]
        first.join()
        assert ask(port, "POST", HALVES, padded)[0] == 200


def test_a_full_queue_answers_503_and_unavailable(small):
    batching = BatchingParameters(max_batch_size=1, max_enqueued_batches=2)
    with serving(small, batching) as server:
        port, codes = server.rest_port, []

        def client():
            codes.append(ask(port, "POST", SLOW, {"inputs": [0.4]})[0])

        threads = [threading.Thread(target=client) for _ in range(3)]
        for number, thread in enumerate(threads):
            thread.start()
            wait_for_requests(server, number + 1)
        status, answer = ask_json(port, SLOW, {"inputs": [0.1]})
        assert status == 503
        assert "max_enqueued_batches is 2" in answer["error"]
        for thread in threads:
            thread.join()
        assert codes == [200] * 3


def test_a_rest_request_has_so_much_time(small):
    with serving(small, rest_seconds=1.0) as server:
        port = server.rest_port
        assert ask(port, "POST", SLOW, {"inputs": [2.0]})[0] == 504
        # In the queue behind another one: TensorFlow Serving says so with another code.
        busy = threading.Thread(target=ask, args=(port, "POST", SLOW, {"inputs": [0.9]}))
        busy.start()
        wait_for_requests(server, 1)
        headers = {"X-Request-Timeout": "0.03"}
        assert ask(port, "POST", SLOW, {"inputs": [0.1]}, headers)[0] == 429
        busy.join()
        assert ask(port, "POST", HALVES, {"inputs": [1]}, {"X-Request-Timeout": "x"})[0] == 400


def test_a_client_that_hangs_up_leaves_the_queue(small):
    with serving(small) as server:
        port = server.rest_port
        busy = threading.Thread(target=ask, args=(port, "POST", SLOW, {"inputs": [0.6]}))
        busy.start()
        wait_for_requests(server, 1)
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("POST", SLOW, json.dumps({"inputs": [9.0]}))
        wait_for_requests(server, 2)
        connection.close()
        wait_for_requests(server, 1)
        busy.join()
        assert ask(port, "POST", SLOW, {"inputs": [0.0]})[0] == 200


def test_stopping_answers_what_is_under_way(small):
    codes = []
    with serving(small) as server:

        def client():
            codes.append(ask(server.rest_port, "POST", SLOW, {"inputs": [0.2]})[0])

        threads = [threading.Thread(target=client) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_for_requests(server, 4)
    for thread in threads:
        thread.join()
    assert codes == [200] * 4
    assert server.traffic.accepted == server.traffic.answered == 4
    with pytest.raises(OSError, match="refused"):
        ask(server.rest_port, "GET", "/healthz")


def wait_for_requests(server, count):
    """Until so many requests are under way."""
    end = time.monotonic() + 10
    while server.traffic.accepted - server.traffic.answered != count:
        assert time.monotonic() < end, "they did not come"
        time.sleep(0.005)
