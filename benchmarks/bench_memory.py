"""What a step of training holds at most: whole, recomputed, in parts.

    python benchmarks/bench_memory.py [--rounds 8]

A GPT (4 blocks, 256 wide, 4 heads, vocabulary 8,000, dropout 0.1) reads 4 rows of 1,024 tokens a
step, with AdamW. Peaks are measured in processes of their own, above what the process had before
the first step, which is after model and optimizer were made. Times are those of one process, the
variants in turns, so that what else the machine does falls on all; ratios are to the whole step, by
round. Writes `benchmarks/results/memory-<date>.json`. About five minutes, and 2 GB.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

import keras_lm

RESULTS = pathlib.Path(__file__).parent / "results"
ROWS, LENGTH, VOCABULARY = 4, 1_024, 8_000
VARIANTS = {
    "whole": {},
    "recompute": {"recompute": True},
    "4 parts": {"gradient_accumulation_steps": 4},
    "4 parts and recompute": {"gradient_accumulation_steps": 4, "recompute": True},
}


def step_of(variant: str) -> Callable[[], object]:
    """Makes a model, and returns what trains it by one batch."""
    keras.utils.set_random_seed(0)
    model = keras_lm.GPT(
        VOCABULARY, 256, 4, 4, 1_024, dropout_rate=0.1, max_length=LENGTH, name="gpt"
    )
    model.build(None)
    model.compile(learning_rate=1e-4, **VARIANTS[variant])
    model.optimizer.build(model.trainable_variables)
    ids = np.random.default_rng(0).integers(0, VOCABULARY, (ROWS, LENGTH)).astype("int32")
    data = tf.data.Dataset.from_tensors(({"token_ids": ids}, ids)).repeat()
    model.build_ahead(data)
    train, iterator = model.make_train_function() or model.train_function, iter(data)
    return lambda: float(train(iterator)["loss"])


def megabytes(name: str) -> float:
    """Of this process, as Linux tells it."""
    status = pathlib.Path("/proc/self/status").read_text("ascii")
    return int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) / 1024


def peak(variant: str) -> float:
    step = step_of(variant)
    before = megabytes("VmRSS")
    step()
    return round(megabytes("VmHWM") - before, 1)


def measured_peaks() -> dict[str, float]:
    found = {}
    for variant in VARIANTS:
        command = [sys.executable, __file__, "--peak", variant]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        found[variant] = float(answer.stdout.splitlines()[-1])
        print(f"{variant}: {found[variant]:,.0f} MB", flush=True)
    return found


def race(rounds: int) -> dict[str, dict[str, float]]:
    steps = {variant: step_of(variant) for variant in VARIANTS}
    seconds: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for number in range(rounds + 1):
        order = list(steps.items())
        for variant, step in order if number % 2 else order[::-1]:
            begin = time.perf_counter()
            step()
            seconds[variant] += [time.perf_counter() - begin] if number else []  # traced first
    found = {}
    for variant, own in seconds.items():
        ratios = [a / b for a, b in zip(own, seconds["whole"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        found[variant] = {
            "seconds": statistics.median(own),
            "of_whole": middle,
            "quartile_1": low,
            "quartile_3": high,
        }
        print(f"{variant}: {middle:.2f} of the whole's time ({low:.2f} to {high:.2f})", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=8, help="0: no times")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak:
        print(peak(args.peak))
        return
    report = {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "load": os.getloadavg()[0], "cpu": platform.machine()},
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
        "step": {"rows": ROWS, "length": LENGTH, "vocabulary": VOCABULARY},
        "rounds": args.rounds,
        "peak_megabytes": measured_peaks(),
        "times": race(args.rounds) if args.rounds else None,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"memory-{datetime.date.today().isoformat()}.json"
    path.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
