"""Two workers that are killed, stopped and told to end, really, and go on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
STEPS, EPOCHS = 6, 2

WORKER = """
import sys; sys.path.insert(0, sys.argv[1])
import keras_lm
strategy = keras_lm.training.strategy("multi_worker")
import test_worker_checkpoints
test_worker_checkpoints.work(strategy, *sys.argv[2:])
"""


def work(strategy, directory, out, harm):
    """Trains as a worker does; in each attempt one of them comes to harm, as `harm` says."""
    import keras
    from test_checkpoints import Batches, Watch, state_of, validation
    from training_toys import Toy

    from keras_lm.training import Checkpoints, Perplexity

    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = Toy(dropout_rate=0.2)
        model.compile(learning_rate=0.02, weighted_metrics=[Perplexity()])
    me = strategy.cluster_resolver.task_id

    class Harmed(Watch):
        def end(self):
            Path(out, f"harmed-{time.time()}").touch()
            super().end()

    watch = Watch()
    for item in filter(None, harm.split(",")):
        attempt, worker, epoch, step, number = map(int, item.split("-"))
        if worker == me and attempt == len(list(Path(out).glob("attempt*"))):
            watch = Harmed((epoch, step), number)
    Path(out, f"attempt-{os.getpid()}" if me == 0 else "other").touch()
    try:
        history = model.fit(
            Batches(STEPS), epochs=EPOCHS, verbose=2, validation_data=validation(),
            callbacks=[Checkpoints(directory, every_steps=2), watch],
        )  # fmt: skip
    except RuntimeError:
        Path(out, f"noticed-{time.time()}").touch()
        raise
    if me == 0:
        np.savez(Path(out, "done.npz"), *state_of(model), *map(np.array, history.history.values()))
        np.save(Path(out, "seen.npy"), np.array(watch.seen))


def launched(tmp_path, name, harm="", restarts=0):
    out = tmp_path / name
    out.mkdir()
    command = [
        *(sys.executable, "-m", "keras_lm", "launch", "--workers", "2", "--grace", "20"),
        *("--max-restarts", str(restarts), "--", sys.executable, "-c", WORKER, str(HERE)),
        *(str(out / "checkpoints"), str(out), harm),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    return out, done


def arrays(path):
    with np.load(path) as file:
        return [file[f"arr_{i}"] for i in range(len(file))]


@pytest.mark.slow
def test_two_workers_that_are_killed_and_stopped_end_as_if_they_had_not_been(tmp_path):
    whole, done = launched(tmp_path, "whole")
    assert done.returncode == 0, done.stdout + done.stderr
    # The attempt is counted by the chief: the other may come before or after it.
    harm = f"0-0-0-3-{signal.SIGKILL.value},1-0-1-1-{signal.SIGSTOP.value}"
    harmed, done = launched(tmp_path, "harmed", harm, restarts=2)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "worker 0 was ended by SIGKILL" in said
    # The one that is left says what happened, within seconds.
    assert said.count("RuntimeError: All workers must run for a training to go on") >= 2, said
    assert said.count("Going on from") == 2
    times = {
        what: sorted(float(path.name.partition("-")[2]) for path in harmed.glob(f"{what}-*"))
        for what in ("harmed", "noticed")
    }
    # The one that was stopped may be told to end before it could notice anything.
    waits = [noticed - harm for harm, noticed in zip(*times.values(), strict=True)]
    print(f"seconds until the other worker ended: {waits}")
    assert len(waits) == 2
    assert max(waits) < 30
    for ours, theirs in zip(arrays(harmed / "done.npz"), arrays(whole / "done.npz"), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    seen, all_seen = np.load(harmed / "seen.npy"), np.load(whole / "seen.npy")
    assert 0 < len(seen) < len(all_seen)
    np.testing.assert_allclose(seen, all_seen[-len(seen) :], atol=1e-6)


@pytest.mark.slow
def test_sigterm_to_one_of_two_workers_ends_both_with_a_checkpoint(tmp_path):
    out, done = launched(tmp_path, "out", f"0-0-0-4-{signal.SIGTERM.value}")
    said = done.stdout + done.stderr
    assert done.returncode == 143, said
    assert "SIGTERM: saved" in said
    assert "RuntimeError" not in said
    assert (out / "checkpoints" / "epoch-0000-step-00000005").is_dir()
