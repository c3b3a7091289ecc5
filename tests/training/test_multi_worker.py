"""Two processes under MultiWorkerMirroredStrategy equal one device."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from training_toys import Losses, Toy, masked_rows

ROWS, BATCH = 24, 8

WORKER = """
import sys; sys.path.insert(0, sys.argv[1])
import keras, numpy as np, tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()
import test_multi_worker as here
with strategy.scope():
    model = here.toy()
result = here.train(model)
if strategy.cluster_resolver.task_id == 0:
    np.savez(sys.argv[2], *result)
"""


def toy():
    keras.utils.set_random_seed(3)
    model = Toy()
    model.build(None)
    return model


def train(model):
    """Fits, evaluates and predicts; returns what came of it as arrays."""
    model.compile(learning_rate=0.01)
    data = tf.data.Dataset.from_tensor_slices(masked_rows(ROWS)).batch(BATCH)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    data = data.with_options(options)
    losses = Losses()
    model.fit(data, validation_data=data, epochs=2, verbose=0, callbacks=[losses])
    values = model.evaluate(data, verbose=0)
    return [np.array(losses.values), np.array(values), *model.get_weights()]


def free_ports(number):
    sockets = [socket.socket() for _ in range(number)]
    for s in sockets:
        s.bind(("localhost", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@pytest.mark.slow
def test_two_workers_equal_one_device(tmp_path):
    addresses = [f"localhost:{port}" for port in free_ports(2)]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(Path(__file__).parent), str(tmp_path / "out.npz")],
            env={
                **os.environ,
                "TF_CONFIG": json.dumps(
                    {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}}
                ),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(2)
    ]
    try:
        outputs = [worker.communicate(timeout=300)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(outputs)
    with np.load(tmp_path / "out.npz") as arrays:
        two = [arrays[f"arr_{i}"] for i in range(len(arrays))]
    for ours, theirs in zip(train(toy()), two, strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-6)
