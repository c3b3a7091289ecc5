"""`keras-lm launch -- keras-lm pretrain`: a worker is killed, all are started again and go on."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("pydantic")
pytest.importorskip("ruamel.yaml")

from recipe_toys import write

import keras_lm

STEPS = {"steps": 120, "steps_per_epoch": 60}


def started(path, restarts):
    keras = [sys.executable, "-m", "keras_lm"]
    launch = [*keras, "launch", "--workers", "2", "--grace", "20", "--max-restarts", str(restarts)]
    pretrain = [*keras, "pretrain", "--config", str(path), "--verbose", "2"]
    return subprocess.Popen(
        [*launch, "--", *pretrain], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def children(parent):
    found = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True, check=True)
    return sorted(map(int, found.stdout.split()))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="pgrep")
@pytest.mark.parametrize("worker", [0, 1])
def test_a_pretraining_whose_worker_is_killed_ends_with_the_weights_of_one_left_alone(
    tmp_path, corpus, worker
):
    ends = []
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        path = write(
            tmp_path / name,
            corpus,
            training=STEPS,
            strategy="multi_worker",
            checkpoints={"every_steps": 10},
        )
        run = started(path, restarts=1)
        if name == "killed":
            made = pathlib.Path(tmp_path, name, "run", "checkpoints")
            end = time.monotonic() + 200
            while time.monotonic() < end and not list(made.glob("epoch-*-step-*")):
                time.sleep(0.05)
            os.kill(children(run.pid)[worker], signal.SIGKILL)
        said, _ = run.communicate(timeout=300)
        assert run.returncode == 0, said
        if name == "killed":
            assert f"worker {worker} was ended by SIGKILL" in said
            assert "Going on from" in said
        ends.append(keras_lm.load(tmp_path / name / "run" / "model.keras"))
    for one, other in zip(*(model.weights for model in ends), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6, err_msg=one.path)
