"""What it costs to save a training every so many steps.

    python benchmarks/bench_checkpoints.py [--rounds 5]

A BERT of 29 million parameters (4 x 512, vocabulary 30,522; 16 x 128 a step) trains by `model.fit`,
in one process, the same steps with `training.Checkpoints(every_steps=10)` and without, in turns.
A checkpoint holds weights and both moments of AdamW, with checksums, and is on the disk (fsync)
before the training goes on. `plain_write` writes and flushes as many bytes and nothing more.
Ratios are to the steps without, by round. Writes `benchmarks/results/checkpoints-<date>.json`.
About seven minutes.
"""

import argparse
import os
import pathlib
import shutil
import tempfile
import time

import races
import step_peers

SHAPE = step_peers.Shape(layers=4, width=512, heads=8, rows=16, length=128)
STEPS, EVERY = 20, 10


def megabytes(directory: pathlib.Path) -> float:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 1e6


def plain_write(path: pathlib.Path, size: float) -> float:
    """Seconds for as many megabytes."""
    piece = os.urandom(2**20)
    begin = time.perf_counter()
    with path.open("wb") as file:
        for _ in range(round(size * 1e6 / len(piece))):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - begin
    path.unlink()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    import tensorflow as tf

    import keras_lm

    sizes = (SHAPE.vocab_size, SHAPE.width, SHAPE.layers, SHAPE.heads, 4 * SHAPE.width)
    model = keras_lm.BERT(*sizes, max_length=SHAPE.length)
    model.compile(learning_rate=1e-4)
    data = tf.data.Dataset.from_tensors(step_peers.batch(SHAPE, causal=False)).repeat(STEPS)
    place = pathlib.Path(tempfile.mkdtemp(dir=races.RESULTS.parent))

    def train(*callbacks: object) -> float:
        begin = time.perf_counter()
        model.fit(data, verbose=0, callbacks=list(callbacks))
        return time.perf_counter() - begin

    without, saved, plain, sizes_found = [], [], [], []
    try:
        train()
        for number in range(args.rounds):
            directory = place / str(number)
            own = keras_lm.training.Checkpoints(directory, every_steps=EVERY, keep=1)
            if number % 2:
                saved.append(train(own))
                without.append(train())
            else:
                without.append(train())
                saved.append(train(own))
            sizes_found.append(megabytes(directory))
            plain.append(plain_write(place / "plain", sizes_found[-1]))
            shutil.rmtree(directory)
    finally:
        shutil.rmtree(place)
    written = STEPS // EVERY
    pairs = list(zip(saved, without, strict=True))
    report = {
        "date": races.now(),
        "machine": races.machine(),
        "versions": races.versions("tensorflow", "keras"),
        "rounds": args.rounds,
        "parameters": model.count_params(),
        "megabytes": round(sizes_found[0], 1),
        "step_ms": races.spread([1e3 * seconds / STEPS for seconds in without]),
        "checkpoint_s": races.spread([(a - b) / written for a, b in pairs]),
        "plain_write_s": races.spread(plain),
        "ratio_every_10_steps": races.spread([a / b for a, b in pairs]),
        "steps_a_checkpoint_costs": races.spread([(a - b) / written / b * STEPS for a, b in pairs]),
    }
    for name, value in report.items():
        print(f"{name}: {value}")
    races.write("checkpoints", report)


if __name__ == "__main__":
    main()
