"""Versions come and go while requests go on."""

import shutil
import threading
import time

import small_models
import tensorflow as tf
from a_server import serving
from asking import Stubs, ask_json
from tensorflow_serving.apis import model_management_pb2, predict_pb2, prediction_log_pb2

PREDICT = "/v1/models/halves:predict"


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def states(port, name="halves"):
    status, answer = ask_json(port, f"/v1/models/{name}")
    if status != 200:
        return {}
    return {int(v["version"]): v["state"] for v in answer["model_version_status"]}


class Load:
    """Clients that ask without a pause; every answer is checked."""

    def __init__(self, port, expected, clients=4):
        self._port, self._expected = port, expected
        self._end = threading.Event()
        self.seen, self.failed = [], []
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *ignored):
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _ask(self):
        while not self._end.is_set():
            status, answer = ask_json(self._port, PREDICT, {"instances": [2.0]})
            if status != 200 or answer["predictions"] not in self._expected:
                self.failed.append((status, answer))
            else:
                self.seen.append(answer["predictions"][0])


def test_a_new_version_takes_over_without_a_failed_request(tmp_path):
    small_models.halves(tmp_path / "halves" / "1", add=1.0)
    small_models.halves(tmp_path / "new", add=2.0)
    with serving(tmp_path) as server, Load(server.rest_port, [[2.0], [3.0]]) as load:
        until(lambda: load.seen)
        (tmp_path / "new").rename(tmp_path / "halves" / "2")
        until(lambda: states(server.rest_port) == {1: "END", 2: "AVAILABLE"})
        before = len(load.seen)
        until(lambda: len(load.seen) > before + 20)
    assert load.failed == []
    assert load.seen[0] == 2.0
    assert load.seen[-1] == 3.0
    # Once the new one answers, the old one never does.
    assert load.seen == sorted(load.seen)


def test_a_broken_version_is_told_of_and_the_old_one_stays(tmp_path):
    small_models.halves(tmp_path / "halves" / "1", add=1.0)
    small_models.halves(tmp_path / "good", add=2.0)
    with serving(tmp_path) as server:
        port = server.rest_port
        broken = tmp_path / "halves" / "2"
        broken.mkdir()
        (broken / "saved_model.pb").write_bytes(b"nonsense")
        until(lambda: states(port).get(2) == "END")
        assert states(port)[1] == "AVAILABLE"
        told = ask_json(port, "/v1/models/halves/versions/2")[1]["model_version_status"][0]
        assert told["status"]["error_code"] == "DATA_LOSS"
        assert str(tmp_path) not in told["status"]["error_message"]
        assert ask_json(port, PREDICT, {"inputs": [2.0]}) == (200, {"outputs": [2.0]})
        # It is tried again when its files are others.
        shutil.copytree(tmp_path / "good", broken, dirs_exist_ok=True)
        until(lambda: states(port).get(2) == "AVAILABLE")
        until(lambda: ask_json(port, PREDICT, {"inputs": [2.0]}) == (200, {"outputs": [3.0]}))
        # A model that appears is served, one that is removed is not.
        shutil.copytree(tmp_path / "good", tmp_path / "other" / "1")
        until(lambda: states(port, "other") == {1: "AVAILABLE"})
        shutil.rmtree(tmp_path / "other")
        until(lambda: ask_json(port, "/v1/models/other/metadata")[0] == 404)


def test_weights_that_are_missing_are_told_of_without_a_path(tmp_path):
    small_models.halves(tmp_path / "halves" / "1")
    (tmp_path / "halves" / "1" / "variables" / "variables.data-00000-of-00001").unlink()
    with serving(tmp_path) as server:
        told = ask_json(server.rest_port, "/v1/models/halves")[1]["model_version_status"][0]
    assert told["state"] == "END"
    assert told["status"]["error_code"] != "OK"
    assert str(tmp_path) not in told["status"]["error_message"]


def test_labels_move_when_the_version_answers(tmp_path):
    small_models.halves(tmp_path / "halves" / "1", add=1.0)
    config = tmp_path / "models.config"
    text = """model_config_list { config { name: "halves" base_path: "halves"
              model_version_policy { all {} } version_labels { key: "stable" value: %d } } }"""
    config.write_text(text % 1)
    stable = "/v1/models/halves/labels/stable:predict"
    with serving(config=config) as server:
        port = server.rest_port
        assert ask_json(port, stable, {"inputs": [2.0]}) == (200, {"outputs": [2.0]})
        config.write_text(text % 2)
        time.sleep(0.2)
        assert ask_json(port, stable, {"inputs": [2.0]}) == (200, {"outputs": [2.0]})
        config.write_text("nonsense")  # says nothing, changes nothing
        time.sleep(0.2)
        config.write_text(text % 2)
        small_models.halves(tmp_path / "new", add=2.0)
        (tmp_path / "new").rename(tmp_path / "halves" / "2")
        until(lambda: ask_json(port, stable, {"inputs": [2.0]}) == (200, {"outputs": [3.0]}))
        assert states(port) == {1: "AVAILABLE", 2: "AVAILABLE"}


def test_a_configuration_by_grpc_chooses_versions(tmp_path):
    small_models.halves(tmp_path / "halves" / "1", add=1.0)
    small_models.halves(tmp_path / "halves" / "2", add=2.0)
    request = model_management_pb2.ReloadConfigRequest()
    config = request.config.model_config_list.config.add(
        name="renamed", base_path=str(tmp_path / "halves")
    )
    config.model_version_policy.specific.versions.append(1)
    with serving(tmp_path, allow_reload_config=True) as server, Stubs(server.port) as stubs:
        assert stubs.model.HandleReloadConfigRequest(request).status.error_code == 0
        assert states(server.rest_port, "renamed") == {1: "AVAILABLE"}
        until(lambda: states(server.rest_port).get(2) == "END")


def test_the_warm_up_file_is_run_before_anybody_asks(tmp_path):
    small_models.halves(tmp_path / "halves" / "1")
    small_models.picky(tmp_path / "picky" / "1")
    for name, value in (("halves", 1.0), ("picky", -1.0)):
        request = predict_pb2.PredictRequest()
        request.inputs["x"].CopyFrom(tf.make_tensor_proto([value]))
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.CopyFrom(request)
        extra = tmp_path / name / "1" / "assets.extra"
        extra.mkdir()
        with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as file:
            file.write(log.SerializeToString())
    with serving(tmp_path) as server:
        assert states(server.rest_port) == {1: "AVAILABLE"}
        # What cannot be warmed up is not served, as in TensorFlow Serving.
        told = ask_json(server.rest_port, "/v1/models/picky")[1]["model_version_status"][0]
    assert told["status"]["error_code"] == "INVALID_ARGUMENT"
    assert "no negative numbers" in told["status"]["error_message"]
