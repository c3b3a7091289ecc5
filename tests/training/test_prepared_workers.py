"""Training on a prepared corpus, of which each worker reads rows of its own, equals one device."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from test_multi_worker import free_ports
from training_toys import Losses, Toy

from keras_lm.data import Prepared, masked_lm, prepare
from keras_lm.data.prepared_pipeline import PreparedPipeline
from keras_lm.tokenizers import train_wordpiece

BATCH, EPOCHS, V = 16, 2, 300

WORKER = """
import sys; sys.path.insert(0, sys.argv[1])
import numpy as np, tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()
import test_prepared_workers as here
task = strategy.cluster_resolver.task_id
parts = here.spied()
result = here.train(sys.argv[2], strategy)
assert parts == [(2, task)], parts
alone = here.train(sys.argv[2], strategy, num_streams=1)
assert parts == [(2, task)], parts
np.savez(f"{sys.argv[3]}/{task}.npz", here.rows(sys.argv[2], task), *result, *alone)
"""


@pytest.fixture(scope="module")
def corpus(topics, tmp_path_factory):
    path = tmp_path_factory.mktemp("prepared")
    (path / "text.txt").write_text(topics.read_text("utf-8")[:60_000], "utf-8")
    tokenizer = train_wordpiece(path / "text.txt", V)
    prepare(path / "text.txt", tokenizer, output=path / "out", shard_size=4_000, num_processes=1)
    return path / "out"


def data_of(corpus, num_streams=2):
    prepared = Prepared(corpus, num_streams=num_streams, shuffle_tokens=4000)
    return masked_lm(prepared, prepared.tokenizer, sequence_length=16, batch_size=BATCH)


def train(corpus, strategy=None, num_streams=2):
    """Losses and weights of two epochs."""
    keras.utils.set_random_seed(3)
    with strategy.scope() if strategy else contextlib.nullcontext():
        model = Toy(V)
    model.build(None)
    model.compile(learning_rate=0.01)
    losses = Losses()
    model.fit(data_of(corpus, num_streams), epochs=EPOCHS, verbose=0, callbacks=[losses])
    return [np.array(losses.values), *model.get_weights()]


def rows(corpus, worker=None):
    """All rows of the first epoch, as they were before they were masked."""
    data = data_of(corpus)
    part = data if worker is None else data.for_worker(2, worker)
    found = []
    for inputs, labels, weights in part.as_numpy_iterator():
        row, place = np.nonzero(weights)
        token_ids = inputs["token_ids"].copy()
        token_ids[row, inputs["masked_positions"][row, place]] = labels[row, place]
        found.append(token_ids)
    return np.concatenate(found)


def same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-6)


@pytest.mark.slow
def test_two_replicas_that_share_a_prepared_pipeline_equal_one_device(corpus, replicas):
    same(train(corpus), train(corpus, replicas))


def spied():
    """The parts for workers that pipelines are asked for from now on."""
    parts, for_worker = [], PreparedPipeline.for_worker

    def spy(self, *which):
        parts.append(which)
        return for_worker(self, *which)

    PreparedPipeline.for_worker = spy
    return parts


@pytest.mark.slow
def test_two_workers_that_read_rows_of_their_own_equal_one_device(corpus, tmp_path):
    addresses = [f"localhost:{port}" for port in free_ports(2)]
    words = [sys.executable, "-c", WORKER, str(Path(__file__).parent), str(corpus), str(tmp_path)]
    workers = [
        subprocess.Popen(
            words,
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
        outputs = [worker.communicate(timeout=280)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(outputs)
    read, trained = [], []
    for i in range(2):
        with np.load(tmp_path / f"{i}.npz") as arrays:
            first, *others = (arrays[f"arr_{j}"] for j in range(len(arrays)))
        read.append(first)
        trained.append(others)
    # With two streams each makes its part; one stream cannot be divided, and both make all.
    expected = [*train(corpus), *train(corpus, num_streams=1)]
    same(expected, trained[0])
    same(expected, trained[1])
    # Each row of the epoch by one worker, and by one alone.
    whole = sorted(map(tuple, rows(corpus).tolist()))
    assert sorted(map(tuple, np.concatenate(read).tolist())) == whole
    assert len(read[0]) == len(read[1]) == len(whole) / 2
