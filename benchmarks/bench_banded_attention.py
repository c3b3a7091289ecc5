"""Banded attention in blocks against the masked full matrix, and what its cache saves.

    python benchmarks/bench_banded_attention.py [--rounds 8]

Both sides of a pair are one causal `MultiHeadAttention` with a window: where its scores are asked
for it computes the full matrix and masks it. They read the same input in the same run, in turns, so
that what else the machine does falls on both. Ratios are full over banded, by round: above 1 the
blocks are faster. Peaks of memory are measured in processes of their own, above what the process
had before the first call. A decode step is one token of each of 8 rows behind a filled cache, in a
loop; its pair is a banded and a dense layer.
Writes `benchmarks/results/banded_attention-<date>.json`. About seven minutes, and 6 GB.
"""

import argparse
import datetime
import functools
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

import tensorflow as tf

from keras_lm.layers import KVCache, MultiHeadAttention

RESULTS = pathlib.Path(__file__).parent / "results"
LENGTHS = [512, 1024, 2048, 4096, 8192]
WINDOWS = [128, 256]
KINDS = ["forward", "forward and backward"]
HEADS, HEAD_DIM = 4, 64
DECODED_LENGTHS = [1024, 2048, 8192]
DECODED_ROWS, DECODED_HEADS, DECODED_STEPS = 8, 12, 32


def attention(window: int, kind: str, full: bool) -> Callable[[tf.Tensor], object]:
    """One layer for one row; the same weights for every window."""
    width = HEADS * HEAD_DIM
    tf.keras.utils.set_random_seed(0)
    layer = MultiHeadAttention(HEADS, width, dropout_rate=0.0, causal=True, window=window)
    layer.build((None, None, width))

    def forward(x: tf.Tensor) -> tf.Tensor:
        return layer(x, return_attention_scores=True)[0] if full else layer(x)

    def with_gradients(x: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(forward(x) ** 2)
        return tape.gradient(loss, [x, *layer.trainable_weights])

    return tf.function(forward if kind == "forward" else with_gradients)


def row(length: int) -> tf.Tensor:
    return tf.random.stateless_normal([1, length, HEADS * HEAD_DIM], [1, 2])


def spread(values: list[float]) -> dict[str, float]:
    low, median, high = statistics.quantiles(values, n=4)
    return {"median": median, "quartile_1": low, "quartile_3": high, "minimum": min(values)}


def race(contestants: dict[str, Callable[[], object]], rounds: int) -> dict:
    """Times two calls, the one first and then the other first."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 2):
        order = list(contestants.items())
        for name, call in order if number % 2 else order[::-1]:
            begin = time.perf_counter()
            tf.nest.map_structure(lambda x: x.numpy(), call())
            # The first two rounds trace, and fill caches of the runtime.
            times[name] += [1e3 * (time.perf_counter() - begin)] if number > 1 else []
    one, other = times
    ratios = [b / a for a, b in zip(times[one], times[other], strict=True)]
    return {
        **{f"{name}_ms": spread(values) for name, values in times.items()},
        f"{other}_over_{one}": spread(ratios),
    }


def time_pairs(rounds: int) -> list[dict]:
    found = []
    for window in WINDOWS:
        for kind in KINDS:
            for length in LENGTHS:
                calls = {
                    name: functools.partial(attention(window, kind, name == "full"), row(length))
                    for name in ("banded", "full")
                }
                result = {"window": window, "kind": kind, "length": length}
                found.append(result | race(calls, rounds))
                show_time(found[-1])
    return found


def highest() -> float:
    """Megabytes that this process has held at most, as Linux tells it."""
    status = pathlib.Path("/proc/self/status").read_text("ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def peaks(window: int, kind: str, full: bool) -> dict[int, float]:
    """Megabytes by length, of this process: the lengths grow, so each peak is its own."""
    call = attention(window, kind, full)
    # One length of no account, so that the runtime is there.
    call(row(64))
    before = highest()
    found = {}
    for length in LENGTHS:
        call(row(length))
        found[length] = round(highest() - before, 1)
    return found


def measure_peaks() -> list[dict]:
    found = []
    for kind in KINDS:
        # The full matrix is the same for every window.
        for window, full in [*((window, False) for window in WINDOWS), (WINDOWS[0], True)]:
            command = [sys.executable, __file__, "--peaks", str(window), kind, str(int(full))]
            answer = subprocess.run(command, check=True, capture_output=True, text=True)
            megabytes = json.loads(answer.stdout.splitlines()[-1])
            name = "full" if full else "banded"
            found.append({"of": name, "kind": kind, "megabytes": megabytes})
            if not full:
                found[-1]["window"] = window
            of = name if full else f"{name} {window}"
            print(f"peak megabytes, {of}, {kind}: {megabytes}", flush=True)
    return found


def decode(window: int | None, length: int) -> tuple[Callable[[], object], int]:
    """Steps at the end of `length` positions, and the bytes of the cache."""
    width = DECODED_HEADS * HEAD_DIM
    layer = MultiHeadAttention(DECODED_HEADS, width, dropout_rate=0.0, causal=True, window=window)
    layer.build((None, None, width))
    slots = length if window is None else min(window, length)
    shape = [DECODED_ROWS, DECODED_HEADS, slots, HEAD_DIM]
    position = tf.fill([DECODED_ROWS], length - DECODED_STEPS)
    x = tf.ones([DECODED_ROWS, 1, width])

    @tf.function
    def steps() -> tf.Tensor:
        # Made inside, so that the loop may write into it.
        cache = KVCache(tf.random.normal(shape), tf.random.normal(shape), position)

        def step(count: tf.Tensor, x: tf.Tensor, cache: KVCache) -> tuple:
            return count + 1, *layer(x, cache=cache)

        start = (tf.constant(0), x, cache)
        return tf.while_loop(lambda count, *_: count < DECODED_STEPS, step, start)[1]

    return steps, 2 * 4 * DECODED_ROWS * DECODED_HEADS * slots * HEAD_DIM


def time_decoding(rounds: int) -> list[dict]:
    found = []
    for window in WINDOWS:
        for length in DECODED_LENGTHS:
            banded, banded_bytes = decode(window, length)
            dense, dense_bytes = decode(None, length)
            result = {
                "window": window,
                "length": length,
                "rows": DECODED_ROWS,
                "steps": DECODED_STEPS,
                "cache_megabytes": {"banded": banded_bytes / 2**20, "dense": dense_bytes / 2**20},
            }
            found.append(result | race({"banded": banded, "dense": dense}, rounds))
            ratio = found[-1]["dense_over_banded"]
            print(
                f"decode, window {window}, {length} positions: cache {banded_bytes / 2**20:.1f} of "
                f"{dense_bytes / 2**20:.1f} MB; {DECODED_STEPS} steps in "
                f"{found[-1]['banded_ms']['median']:.0f} of {found[-1]['dense_ms']['median']:.0f} "
                f"ms: {ratio['median']:.2f} ({ratio['quartile_1']:.2f} to "
                f"{ratio['quartile_3']:.2f})",
                flush=True,
            )
    return found


def show_time(result: dict) -> None:
    ratio = result["full_over_banded"]
    print(
        f"window {result['window']}, {result['kind']:21}{result['length']:6}: "
        f"banded {result['banded_ms']['median']:8.1f} ms, full {result['full_ms']['median']:8.1f} "
        f"ms: {ratio['median']:6.2f} ({ratio['quartile_1']:.2f} to {ratio['quartile_3']:.2f})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--peaks", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peaks:
        window, kind, full = args.peaks
        print(json.dumps(peaks(int(window), kind, full == "1")))
        return
    report = {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "load": os.getloadavg()[0], "cpu": platform.machine()},
        "versions": {"tensorflow": tf.__version__},
        "layer": {"rows": 1, "heads": HEADS, "head_dim": HEAD_DIM},
        "rounds": args.rounds,
        "times": time_pairs(args.rounds),
        "peaks": measure_peaks(),
        "decoding": time_decoding(args.rounds),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"banded_attention-{datetime.date.today().isoformat()}.json"
    path.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
