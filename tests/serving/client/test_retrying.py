"""What is sent again, and what is not: against an HTTP server that does as it is told."""

import contextlib
import http.server
import json
import threading
import time

import numpy as np
import pytest

from keras_lm.serving import Client
from keras_lm.serving.client import (
    DeadlineError,
    InvalidRequestError,
    ServerError,
    UnavailableError,
    tasks,
)
from keras_lm.serving.client.errors import error_of
from keras_lm.serving.client.retrying import Deadline, RefusedError, with_retries

SPEC = {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": "-1"}], "unknown_rank": False}}
SIGNATURE = {"inputs": {"x": SPEC}, "outputs": {"y": SPEC}, "method_name": "predict"}
METADATA = {"metadata": {"signature_def": {"signature_def": {"serving_default": SIGNATURE}}}}


@contextlib.contextmanager
def answering(answers, port=0):
    """A server that gives metadata, and for predictions one (status, body, headers) at a time.

    Yields its address, and a list that gets the path and the body of each prediction.
    """
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self._answer(200, METADATA, {})

        def do_POST(self):
            asked.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self._answer(*answers[min(len(asked), len(answers)) - 1])

        def _answer(self, status, body, headers):
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": len(body)}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *ignored):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


RIGHT = (200, {"outputs": [1.5]}, {})
BUSY = (503, {"error": "The batch scheduling queue is full"}, {})
LATER = (429, {"error": "slow down"}, {"Retry-After": "0"})


def test_a_server_with_too_much_to_do_is_asked_again():
    with answering([BUSY, LATER, RIGHT]) as (url, asked), Client(url) as client:
        assert client.predict("m", [1.0])["y"].tolist() == [1.5]
        assert len(asked) == 3
        assert len(set(asked)) == 1


def test_the_path_says_which_version_is_asked():
    with answering([RIGHT]) as (url, asked), Client(f"{url}/behind/a/proxy/") as client:
        client.predict("a b/ü", [1.0], version=3)
        client.predict("m", [1.0], label="new est")
    paths = [path.removeprefix("/behind/a/proxy/v1/models/") for path, _ in asked]
    assert paths == ["a%20b%2F%C3%BC/versions/3:predict", "m/labels/new%20est:predict"]


def test_after_the_last_try_the_servers_words_are_told():
    with answering([BUSY]) as (url, asked), Client(url, retries=2) as client:
        with pytest.raises(UnavailableError, match="queue is full"):
            client.predict("m", [1.0])
        assert len(asked) == 3


def test_time_that_was_over_in_the_queue_is_time_that_was_over():
    words = "Run() timeout exceeded while waiting in batching queue"
    over = (429, {"error": words}, {})
    with answering([over, RIGHT]) as (url, asked), Client(url) as client:
        with pytest.raises(DeadlineError, match="in batching queue"):
            client.predict("m", [1.0])
        assert len(asked) == 1


@pytest.mark.parametrize("status", [400, 404, 500, 502, 504])
def test_what_the_server_took_is_not_sent_again(status):
    with answering([(status, b"<html>", {}), RIGHT]) as (url, asked), Client(url) as client:
        with pytest.raises(Exception, match=f"HTTP {status} .*<html>"):
            client.predict("m", [1.0])
        assert len(asked) == 1


@pytest.mark.parametrize("body", [b"no JSON", b"[]", b'{"predictions": [1.0]}'])
def test_an_answer_that_is_none_is_an_error_of_the_server(body):
    told = pytest.raises(ServerError, match="not TensorFlow Serving's")
    with answering([(200, body, {})]) as (url, _), Client(url) as client, told:
        client.predict("m", [1.0])


def test_a_server_that_starts_meanwhile_answers():
    with answering([RIGHT]) as (url, _):
        port = int(url.rpartition(":")[2])
    found = []
    with Client(url, retries=20) as client:
        asking = threading.Thread(target=lambda: found.append(client.predict("m", [1.0])))
        asking.start()
        time.sleep(0.2)
        with answering([RIGHT], port):
            asking.join()
    assert found[0]["y"].tolist() == [1.5]


def test_a_piece_that_fails_ends_the_call():
    bad = (400, {"error": "no"}, {})
    with answering([RIGHT, bad]) as (url, asked), Client(url, batch_size=1) as client:
        with pytest.raises(InvalidRequestError):
            client.predict("m", np.ones(500))
        assert len(asked) < 500


def test_waits_grow_and_end_before_the_deadline(monkeypatch):
    waits = []
    monkeypatch.setattr("time.sleep", waits.append)
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    refused = RefusedError(error_of("UNAVAILABLE", "full", "m"))

    def send():
        raise refused

    with pytest.raises(UnavailableError):
        with_retries(send, 8, Deadline(None, "m"))
    np.testing.assert_allclose(waits, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])
    waits.clear()
    with pytest.raises(UnavailableError):
        with_retries(send, 8, Deadline(0.5, "m"))
    np.testing.assert_allclose(waits, [0.1, 0.2, 0.4])


def test_an_answer_is_a_piece_of_the_context():
    row = {"answer": "Paris", "score": 0.5, "start": 3, "end": 8, "status": 0}
    outputs = {name: np.array([value], object) for name, value in row.items()}
    assert tasks.by_row(outputs, tasks.answer) == [("Paris", 0.5, 3, 8, 0)]
