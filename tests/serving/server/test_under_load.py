"""A server in a process of its own, with more requests than it can answer."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import grpc
import numpy as np
import pytest
import small_models
import tensorflow as tf
from asking import Stubs, ask
from tensorflow_serving.apis import predict_pb2

pytestmark = pytest.mark.slow

# Ten minutes are what a release is held to; the slow tests take one.
SECONDS = float(os.environ.get("KERAS_LM_SOAK_SECONDS", "60"))


class Process:
    """`keras-lm serve`, and what it logged."""

    def __init__(self, directory, *words):
        command = [sys.executable, "-m", "keras_lm", "serve", str(directory)]
        command += ["--port", "0", "--rest-port", "0", *words]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.logs = []
        self.listening = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self.listening.wait(120)

    def _read(self):
        for line in self.process.stderr:
            with contextlib.suppress(ValueError):
                told = json.loads(line)
                self.logs.append(told)
                if told["event"] == "listening":
                    self.port, self.rest_port = told["grpc_port"], told["rest_port"]
                    self.listening.set()

    def wait_for(self, event, version):
        end = time.monotonic() + 30
        while not any(t["event"] == event and t["version"] == version for t in self.logs):
            assert time.monotonic() < end, f"not {event}: {version}"
            time.sleep(0.02)

    def megabytes(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(120)
        self._reader.join()
        self.process.stderr.close()
        return status


class Clients:
    """Threads that ask over both protocols until they are stopped; each answer is checked."""

    def __init__(self, server, count):
        self._server, self._stop = server, threading.Event()
        self.ending = False
        self.right, self.refused, self.unanswered, self.wrong = [], [], [], []
        self._threads = [
            threading.Thread(target=self._grpc if number % 2 else self._rest, args=(number,))
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _rest(self, seed):
        draw = random.Random(seed)
        while not self._stop.is_set():
            rows = [draw.randrange(1000) / 4 for _ in range(draw.choice([1, 1, 2, 8]))]
            method = draw.choice(["predict", "predict", "regress", "classify", "nonsense"])
            body, expected = _question(method, rows)
            method = "predict" if method == "nonsense" else method
            try:
                status, answer = ask(
                    self._server.rest_port, "POST", f"/v1/models/halves:{method}", body
                )
            except OSError as error:
                self.unanswered.append(repr(error))
                time.sleep(0.01)
                continue
            if status == 503:
                self.refused.append(answer)
            elif (status, json.loads(answer)) == expected:
                self.right.append(1)
            else:
                self.wrong.append((status, answer))

    def _grpc(self, seed):
        draw = random.Random(seed)
        with Stubs(self._server.port) as stubs:
            while not self._stop.is_set():
                rows = np.float32([draw.randrange(1000) / 4 for _ in range(draw.choice([1, 4]))])
                request = predict_pb2.PredictRequest()
                request.model_spec.name = "halves"
                request.inputs["x"].CopyFrom(tf.make_tensor_proto(rows))
                try:
                    response = stubs.prediction.Predict(request, timeout=30)
                except grpc.RpcError as error:
                    # gRPC cancels what arrives at the very moment when it takes no more.
                    cancelled = self.ending and error.code() == grpc.StatusCode.CANCELLED
                    known = cancelled or error.code() == grpc.StatusCode.UNAVAILABLE
                    (self.refused if known else self.wrong).append(str(error))
                    time.sleep(0.01)
                    continue
                found = tf.make_ndarray(response.outputs["y"])
                (self.right if (found == rows / 2 + 2).all() else self.wrong).append(found)


def _question(method, rows):
    """The body of a request, and the status and the answer that are right."""
    found = [x / 2 + 2 for x in rows]
    if method == "predict":
        return {"instances": rows}, (200, {"predictions": found})
    if method == "nonsense":
        told = {"error": "Missing 'inputs' or 'instances' key"}
        return {"rows": rows}, (400, told)
    body = {"signature_name": method, "examples": [{"x": x} for x in rows]}
    if method == "regress":
        return body, (200, {"results": found})
    return body, (200, {"results": [[["low", -x], ["high", x]] for x in found]})


@pytest.fixture
def directory(tmp_path):
    small_models.halves(tmp_path / "halves" / "1")
    return tmp_path


def test_sigterm_under_load_answers_what_was_accepted(directory):
    server = Process(directory)
    clients = Clients(server, 8)
    time.sleep(3)
    clients.ending = True
    status = server.end()
    clients.stop()
    assert status == 0
    assert clients.wrong == []
    (stopped,) = [told for told in server.logs if told["event"] == "stopped"]
    assert stopped["accepted"] == stopped["answered"] == len(clients.right)
    assert len(clients.right) > 100


@pytest.mark.timeout(SECONDS + 600)
def test_at_saturation_answers_are_right_and_memory_is_flat(directory):
    words = ["--max-enqueued-batches", "1", "--max-batch-size", "4", "--threads", "1"]
    server = Process(directory, *words)
    clients = Clients(server, 24)
    time.sleep(min(20, SECONDS / 3))
    start, sizes = time.monotonic(), []
    while time.monotonic() < start + SECONDS:
        sizes.append((time.monotonic() - start, server.megabytes()))
        time.sleep(0.5)
    clients.stop()
    assert server.end() == 0
    slope = np.polyfit(*zip(*sizes, strict=True), 1)[0] * 60
    print(
        f"{len(clients.right)} right, {len(clients.refused)} refused, "
        f"{sizes[-1][1]:.0f} MB, {slope:+.2f} MB a minute"
    )
    assert clients.wrong == []
    assert clients.unanswered == []
    assert all("is full" in str(told) for told in clients.refused)
    assert clients.right
    assert slope < 5


def test_versions_that_come_and_go_leave_no_memory_behind(directory):
    server = Process(directory, "--poll-seconds", "0.1")
    new = directory / "new"
    small_models.halves(new)
    sizes = []
    clients = Clients(server, 2)
    for version in range(2, 42):
        target = directory / f".{version}"
        subprocess.run(["cp", "-r", str(new), str(target)], check=True)
        target.rename(directory / "halves" / str(version))
        server.wait_for("unloaded", version - 1)
        sizes.append(server.megabytes())
    clients.stop()
    assert server.end() == 0
    assert clients.wrong == clients.refused == clients.unanswered == []
    print(f"{sizes[9]:.0f} MB after 10 reloads, {sizes[-1]:.0f} MB after 40")
    assert sizes[-1] - sizes[9] < 40
