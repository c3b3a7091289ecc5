"""Which strategy comes of what, and what is refused before TensorFlow would wait or fail."""

import json
import socket
import threading
import time

import keras
import pytest
import tensorflow as tf
from training_toys import Toy, masked_rows

from keras_lm.training import strategy
from keras_lm.training.cluster import Cluster, read_cluster, wait_for_workers


def config(workers=("a:1", "b:2"), index=0, kind="worker", **cluster):
    return json.dumps(
        {"cluster": {"worker": list(workers), **cluster}, "task": {"type": kind, "index": index}}
    )


def test_one_process_has_its_devices(replicas, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert strategy() is strategy("auto") is strategy("mirrored") is replicas
    assert replicas.num_replicas_in_sync == 2
    one = strategy("mirrored", devices=["CPU:1"])
    assert isinstance(one, tf.distribute.MirroredStrategy)
    assert one.num_replicas_in_sync == 1
    with strategy("one_device").scope():
        assert not tf.distribute.has_strategy()


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"kind": "tpu"}, "kind must be one of"),
        ({"devices": ["CPU:0"]}, 'devices are for kind="mirrored"'),
        ({"kind": "mirrored", "devices": ["CPU:0", "CPU:7"]}, "different ones out of"),
        ({"kind": "mirrored", "devices": ["CPU:0", "cpu:0"]}, "different ones out of"),
        ({"kind": "mirrored", "devices": []}, "different ones out of"),
        ({"timeout": 0}, "timeout must be positive"),
        ({"kind": "multi_worker"}, "needs the environment variable TF_CONFIG"),
    ],
)
def test_what_cannot_be_raises(arguments, rule, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match=rule):
        strategy(**arguments)


def test_workers_that_would_train_alone_are_refused(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config())
    with pytest.raises(ValueError, match=r"each worker would train alone.*2 workers"):
        strategy("mirrored")


def test_a_strategy_over_processes_that_comes_too_late_is_refused(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config())
    tf.constant(0)
    for kind in ("auto", "multi_worker"):
        with pytest.raises(ValueError, match="must come before every other use of TensorFlow"):
            strategy(kind)


def test_a_cluster_is_read():
    assert read_cluster({}) is read_cluster({"TF_CONFIG": "{}"}) is None
    cluster = read_cluster({"TF_CONFIG": config(["a:1", "b:2"], 1, chief=["c:3"])})
    assert cluster == Cluster({"chief 0": "c:3", "worker 0": "a:1", "worker 1": "b:2"}, "worker 1")
    assert cluster.address == "b:2"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("{cluster:", "must be JSON"),
        ("[1]", "must be an object"),
        (json.dumps({"cluster": {"worker": ["a:1"]}}), 'must have a "task"'),
        (config(index=2), "one of worker 0, worker 1, but is worker 2"),
        (config(kind="evaluator"), "but is evaluator 0"),
        (config(ps=["c:3"]), 'must have "worker"'),
        (config(["a:1", "a:1"]), "an address of its own"),
        (config(["a:1"], chief=["b:2", "c:3"]), "one is the chief"),
        (config(["a"]), '"host:port"'),
        (config([":1"]), '"host:port"'),
        (config(["a:99999"]), '"host:port"'),
        (config(worker="a:1"), "must be a list"),
    ],
)
def test_a_malformed_cluster_is_named(text, rule):
    with pytest.raises(ValueError, match=rule) as error:
        read_cluster({"TF_CONFIG": text})
    assert "Received: TF_CONFIG" in str(error.value) or "Received: '" in str(error.value)


@pytest.fixture
def ports():
    """Two ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    numbers = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return numbers


def of_workers(ports, me=0):
    return Cluster({f"worker {i}": f"localhost:{p}" for i, p in enumerate(ports)}, f"worker {me}")


def test_workers_wait_for_each_other(ports):
    here, done = time.monotonic(), threading.Event()

    def worker():
        wait_for_workers(of_workers(ports, 1), 5.0)
        with socket.create_server(("127.0.0.1", ports[1])):  # as TensorFlow does at once
            done.wait(5.0)

    late = threading.Timer(0.5, worker)
    late.start()
    wait_for_workers(of_workers(ports), 5.0)
    assert 0.4 < time.monotonic() - here < 4
    done.set()
    late.join()


def test_a_worker_that_never_comes_is_named(ports):
    with pytest.raises(TimeoutError, match=rf"within 0.3 s.*worker 1 \(localhost:{ports[1]}\)"):
        wait_for_workers(of_workers(ports), 0.3)


def test_a_port_that_is_taken_is_named(ports):
    with (
        socket.create_server(("127.0.0.1", ports[0])),
        pytest.raises(ValueError, match=f"port of worker 0 must be free.*port {ports[0]}"),
    ):
        wait_for_workers(of_workers(ports), 5.0)


def test_a_distribution_that_shards_nothing_is_refused():
    model = Toy()
    model.compile()
    devices = keras.distribution.DeviceMesh((1,), ["batch"], devices=["cpu:0"])
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices))
    try:
        with pytest.raises(ValueError, match=r"shards nothing.*DataParallel"):
            model.compile()
        with pytest.raises(ValueError, match="shards nothing"):
            model.fit(*masked_rows(4))
    finally:
        keras.distribution.set_distribution(None)
