"""Two processes under MultiWorkerMirroredStrategy equal one device, and say what is wrong."""

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

from keras_lm.training import LAMB, AdamW, LossScaleOptimizer, strategy

pytestmark = pytest.mark.slow

BATCH = 8
# Rows, optimizer, what compile is told.
TRAININGS = {
    "plain": (24, lambda: AdamW(0.01), {}),
    "odd": (17, lambda: AdamW(0.01, clipnorm=0.1), {}),
    "parts": (
        24,
        lambda: AdamW(0.01, global_clipnorm=0.1, use_ema=True, ema_overwrite_frequency=2),
        {"gradient_accumulation_steps": 3},
    ),
    "xla": (24, lambda: LAMB(0.01, clipvalue=0.01), {"jit_compile": True}),
    "executions": (24, lambda: AdamW(0.01), {"steps_per_execution": 2}),
}

WORKER = """
import sys; sys.path.insert(0, sys.argv[1])
import keras_lm
strategy = keras_lm.training.strategy("multi_worker", timeout=60)
import test_multi_worker
test_multi_worker.work(strategy, *sys.argv[2:])
"""


def work(strategy, deed, directory):
    """What a worker does: one of the functions below, whose arrays the chief writes."""
    found = globals()[deed](strategy, directory)
    if strategy.cluster_resolver.task_id == 0:
        np.savez(Path(directory, "out.npz"), **found)


def train_all(strategy, directory=None):
    return {
        f"{name}/{i}": value
        for name, training in TRAININGS.items()
        for i, value in enumerate(train(strategy, *training))
    }


def train(strategy, rows, optimizer, compiled):
    """Fits, evaluates and predicts; returns what came of it as arrays."""
    keras.utils.set_random_seed(3)
    with strategy.scope():
        model = Toy()
        model.build(None)
        model.compile(optimizer(), **compiled)
    data = tf.data.Dataset.from_tensor_slices(masked_rows(rows)).batch(BATCH)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    data = data.with_options(options)
    losses = Losses()
    watched = [losses] if rows % BATCH == 0 and "steps_per_execution" not in compiled else []
    model.fit(data, validation_data=data, epochs=2, verbose=0, callbacks=watched)
    values = model.evaluate(data, verbose=0)
    return [np.array(losses.values), np.array(values), *model.get_weights()]


def overflow(strategy, directory=None):
    """The second worker's gradient is infinite, in the first of two steps."""
    with strategy.scope():
        variable = keras.Variable([1.0, 2.0])
        optimizer = LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=8.0)
        optimizer.build([variable])

    @tf.function
    def step(bad):
        def run():
            here = tf.distribute.get_replica_context().replica_id_in_sync_group
            gradient = tf.where(here == bad, float("inf"), 8.0) * tf.ones(2)
            optimizer.apply([gradient], [variable])

        strategy.run(run)

    found = {}
    for name, bad in (("skipped", 1), ("made", -1)):
        step(tf.constant(bad))
        found[name] = variable.numpy()
        found[f"scale {name}"] = optimizer.dynamic_scale.numpy()
    return found


def wrong_data(strategy, directory):
    """Data of different lengths, then one file for two workers."""
    with strategy.scope():
        model = Toy()
        model.compile()
    rows = masked_rows(16)

    def of_worker(context):
        batches = tf.data.Dataset.from_tensor_slices(rows).batch(4)
        return batches.take(2 + context.input_pipeline_id)

    with pytest.raises(ValueError, match="batches by worker: 2, 3"):
        model.fit(strategy.distribute_datasets_from_function(of_worker), verbose=0)

    path = Path(directory, f"{strategy.cluster_resolver.task_id}.tfrecord")
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"")
    file = tf.data.TFRecordDataset([str(path)]).repeat(2)
    data = file.map(lambda _: tf.nest.map_structure(lambda value: value[0], rows)).batch(2)
    # The one whose turn comes first says so; the other may find it gone.
    with pytest.raises((ValueError, RuntimeError)) as error:
        model.fit(data, verbose=0)
    Path(directory, f"{strategy.cluster_resolver.task_id}.txt").write_text(str(error.value))
    return {"raised": np.array(2)}


def free_ports(number):
    sockets = [socket.socket() for _ in range(number)]
    for s in sockets:
        s.bind(("localhost", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def on_two_workers(deed, directory):
    addresses = [f"localhost:{port}" for port in free_ports(2)]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(Path(__file__).parent), deed, str(directory)],
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
    with np.load(Path(directory, "out.npz")) as arrays:
        return dict(arrays)


def test_two_workers_equal_one_device(tmp_path):
    two = on_two_workers("train_all", tmp_path)
    one = train_all(strategy("one_device"))
    assert two.keys() == one.keys()
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, atol=1e-6, err_msg=name)


def test_an_overflow_on_one_worker_is_skipped_by_both(tmp_path):
    found = on_two_workers("overflow", tmp_path)
    np.testing.assert_array_equal(found["skipped"], [1.0, 2.0])
    assert found["scale skipped"] == found["scale made"] == 4.0
    # Both gradients, 8 over a scale of 4, added up.
    np.testing.assert_allclose(found["made"], [0.6, 1.6], rtol=1e-6)


def test_data_that_two_workers_cannot_read_together_are_refused(tmp_path):
    assert on_two_workers("wrong_data", tmp_path)["raised"] == 2
    said = "".join(path.read_text() for path in tmp_path.glob("*.txt"))
    assert "there must be a file for each worker" in said
    assert "2 workers" in said
