"""One process against two workers and two replicas, with the same global batch.

    python benchmarks/bench_workers.py [--rounds 3]

A BERT step, 4 x 512, 16 x 128, 20 masked tokens a row, as in `bench_train.py`, by `model.fit`:

    one         one process on all cores
    workers     two processes of MultiWorkerMirroredStrategy over loopback, half of the cores each
    replicas    two logical CPU devices of MirroredStrategy in one process, which share its threads

Every run is a process of its own; within a round they take turns. Ratios are times over those of
`one`, by round: what distribution costs where it can gain nothing, for the machine stays the same.
Writes `benchmarks/results/workers-<date>.json`. About six minutes, and 6 GB.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import races
import step_peers

SHAPE = step_peers.Shape(layers=4, width=512, heads=8, rows=16, length=128)
WAYS = ("one", "workers", "replicas")
STEPS = 12
_SAID = "seconds a step: "


def child(way: str) -> None:
    """Trains, and says how long a step took after those in which it was traced."""
    import tensorflow as tf

    cores = os.cpu_count() or 1
    threads = max(1, cores // 2) if way == "workers" else cores
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(max(2, threads))
    if way == "replicas":
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0], halves
        )
    import keras_lm

    kinds = {"one": "one_device", "workers": "multi_worker", "replicas": "mirrored"}
    strategy = keras_lm.training.strategy(kinds[way])
    with strategy.scope():
        sizes = (SHAPE.vocab_size, SHAPE.width, SHAPE.layers, SHAPE.heads, 4 * SHAPE.width)
        model = keras_lm.BERT(*sizes, max_length=SHAPE.length)
        model.compile(learning_rate=1e-4)
    rows = tf.data.Dataset.from_tensor_slices(step_peers.batch(SHAPE, causal=False))
    options = tf.data.Options()
    # Each worker takes its share of each batch.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    data = rows.repeat().batch(SHAPE.rows, drop_remainder=True).with_options(options)
    model.fit(data, steps_per_epoch=2, verbose=0)
    begin = time.perf_counter()
    model.fit(data, steps_per_epoch=STEPS, verbose=0)
    seconds = (time.perf_counter() - begin) / STEPS
    if not os.environ.get("TF_CONFIG") or '"index": 0' in os.environ["TF_CONFIG"]:
        print(f"{_SAID}{seconds}", flush=True)


def measured(way: str) -> float:
    command = [sys.executable, __file__, "--child", way]
    if way == "workers":
        command = [sys.executable, "-m", "keras_lm", "launch", "--workers", "2", "--", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(
            f"{way} ended with status {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    said = next(line for line in done.stdout.splitlines() if _SAID in line)
    return float(said.split(_SAID)[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child)
        return
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(args.rounds):
        for way in WAYS[:: 1 if number % 2 else -1]:
            times[way].append(measured(way))
            print(f"round {number + 1}, {way}: {1e3 * times[way][-1]:.0f} ms a step", flush=True)
    ratios = {
        way: races.spread([a / b for a, b in zip(times[way], times["one"], strict=True)])
        for way in WAYS[1:]
    }
    for way, ratio in ratios.items():
        print(f"{way}: {ratio['median']:.2f} of the time of one")
    report = {
        "date": races.now(),
        "machine": races.machine(),
        "versions": races.versions("tensorflow", "keras"),
        "rounds": args.rounds,
        "shape": SHAPE._asdict(),
        "ms": {way: races.spread([1e3 * x for x in found]) for way, found in times.items()},
        "ratios": ratios,
    }
    print(json.dumps(report["ratios"]))
    races.write("workers", report)


if __name__ == "__main__":
    main()
