"""Pre-train a BERT over two workers, kill it twice, and end with the weights of one left alone.

    python examples/survive.py --out checkpoints/survive

Two trainings of the same script under `keras-lm launch`, one after the other. In the second one
worker is killed (SIGKILL), later the other, which is the chief; each time the launcher starts both
again, and they go on from the last checkpoint. Data: the language reference of Python, as in the
quickstart (`pydoc_data/topics.py`, PSF License Version 2).

Measured on 2026-11-27, TensorFlow 2.21, 2 CPU cores that other work shared: 96 s, of them four
starts of two processes. After 120 steps the largest difference between the 236,560 weights of both
trainings was 0.0, and that of their losses and accuracies too.
"""

import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from held_out import masked_rows, split
from quickstart import read

import keras_lm

EPOCHS, STEPS, EVERY = 2, 60, 5
LENGTH, BATCH = 32, 32
# Worker, and the checkpoint behind which it is killed.
KILLS = ((1, "epoch-0000-step-00000035"), (0, "epoch-0001-step-00000025"))
START_AND_STEPS = 900  # seconds that any of it may take


def work(out: pathlib.Path) -> None:
    """Is one worker: trains, and as the chief leaves the weights and the losses."""
    strategy = keras_lm.training.strategy("multi_worker")  # before anything else of TensorFlow
    keras.utils.set_random_seed(0)
    me = strategy.cluster_resolver.task_id
    (out / f"worker-{me}.pid").write_text(str(os.getpid()))
    text = split(read([]))
    tokenizer = keras_lm.tokenizers.train_wordpiece(texts=text.train, vocab_size=2_000)
    data = keras_lm.data.masked_lm(
        texts=text.train, tokenizer=tokenizer, sequence_length=LENGTH, batch_size=BATCH
    )
    with strategy.scope():
        model = keras_lm.BERT(
            tokenizer.vocab_size,
            hidden_size=64,
            num_layers=2,
            num_attention_heads=2,
            num_hidden_units=256,
            max_length=LENGTH,
            dropout_rate=0.1,
            initializer_range=0.06,
            tokenizer=tokenizer,
        )
        model.compile(learning_rate=2e-3)
    history = model.fit(
        data,
        epochs=EPOCHS,
        steps_per_epoch=STEPS,
        validation_data=masked_rows(text.dev, tokenizer, LENGTH),
        callbacks=[keras_lm.training.Checkpoints(out / "checkpoints", every_steps=EVERY)],
        verbose=2,
    ).history
    if me == 0:
        names = [variable.path for variable in model.weights]
        values = dict(zip(names, model.get_weights(), strict=True))
        np.savez(out / "weights.npz", **values)
        np.savez(out / "history.npz", **history)


def launch(out: pathlib.Path, restarts: int) -> subprocess.Popen:
    """Starts two workers that train into a directory."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    launcher = [sys.executable, "-m", "keras_lm", "launch", "--workers", "2"]
    script = [sys.executable, __file__, "--work", "--out", str(out)]
    return subprocess.Popen([*launcher, "--max-restarts", str(restarts), "--", *script])


def wait(process: subprocess.Popen) -> None:
    """Waits for a training; raises CalledProcessError if it did not end well."""
    if process.wait(timeout=START_AND_STEPS):
        raise subprocess.CalledProcessError(process.returncode, process.args)


def kill(out: pathlib.Path, worker: int, checkpoint: str, process: subprocess.Popen) -> None:
    """Kills a worker as soon as a checkpoint, or a later one, is there."""
    while not any(path.name >= checkpoint for path in (out / "checkpoints").glob("epoch-*")):
        if process.poll() is not None:
            raise RuntimeError(f"The training must reach {checkpoint}. Received: its end")
        time.sleep(0.01)
    pid = int((out / f"worker-{worker}.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    print(f"\nkilled worker {worker}, process {pid}, behind {checkpoint}\n", flush=True)


def compare(whole: pathlib.Path, killed: pathlib.Path) -> float:
    """Prints and returns the largest difference between two trainings."""
    largest = {}
    for what in ("weights", "history"):
        with np.load(whole / f"{what}.npz") as ours, np.load(killed / f"{what}.npz") as theirs:
            if set(ours) != set(theirs):
                raise RuntimeError(f"Both must have the same {what}. Received: other names")
            largest[what] = max(float(np.abs(ours[name] - theirs[name]).max()) for name in ours)
            if what == "weights":
                number = sum(array.size for array in ours.values())
            else:
                losses = ", ".join(f"{value:.4f}" for value in theirs["val_loss"])
    print(f"\nloss of validation, killed twice: {losses}")
    print(f"largest difference of {number:,} weights to the training left alone: ", end="")
    print(f"{largest['weights']:.1e}; of losses and accuracies: {largest['history']:.1e}")
    return max(largest.values())


def main() -> int:
    """Reads the command line; trains twice and compares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("checkpoints/survive"))
    parser.add_argument("--work", action="store_true", help="be one of the workers")
    args = parser.parse_args()
    if args.work:
        work(args.out)
        return 0
    start = time.monotonic()
    whole, killed = args.out / "whole", args.out / "killed"
    wait(launch(whole, restarts=0))
    print(f"\nleft alone: {time.monotonic() - start:.0f} s\n", flush=True)
    process = launch(killed, restarts=len(KILLS))
    try:
        for worker, checkpoint in KILLS:
            kill(killed, worker, checkpoint, process)
        wait(process)
    finally:
        process.terminate()
    difference = compare(whole, killed)
    print(f"Time: {time.monotonic() - start:.0f} s")
    return 0 if difference <= 1e-6 else 1


if __name__ == "__main__":
    sys.exit(main())
