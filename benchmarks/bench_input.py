"""The input pipeline alone, in tokens a second, against what models eat while they train.

    python benchmarks/bench_input.py [--seconds 2] [--rounds 5]

A corpus of Python's own reference, forty times over in other orders (18 MB), is prepared by one
process and by all; then batches of 32 rows of 128 tokens come from the shards and from memory, in
turns, and a small BERT and one of BERT base's size train on one such batch (base: 8 rows) again and
again. All in one run. Aim: the pipeline gives ten times the tokens that a model eats.
Writes `benchmarks/results/input-<date>.json`. About four minutes.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pydoc_data.topics import topics
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

from keras_lm import BERT
from keras_lm.data import Prepared, causal_lm, masked_lm, prepare
from keras_lm.tokenizers import train_byte_bpe, train_wordpiece

RESULTS = pathlib.Path(__file__).parent / "results"
T, B = 128, 32
MODELS = {
    "small, 4 x 256": (B, {"hidden_size": 256, "num_layers": 4, "num_attention_heads": 4}),
    "base, 12 x 768": (8, {"hidden_size": 768, "num_layers": 12, "num_attention_heads": 12}),
}


def write_corpus(path: pathlib.Path) -> None:
    draw = random.Random(0)
    names, parts = sorted(topics), []
    for _ in range(40):
        draw.shuffle(names)
        parts += [topics[name].strip() for name in names]
    path.write_text("\n\n".join(parts), encoding="utf-8")


def seconds(call: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def rate(steps: Any, duration: float) -> float:
    """Tokens a second of an iterator of batches of B x T tokens."""
    begin, number = time.perf_counter(), 0
    while time.perf_counter() - begin < duration:
        next(steps)
        number += 1
    return number * B * T / (time.perf_counter() - begin)


def eaten(batch: Any, arguments: dict, rounds: int) -> list[float]:
    """Tokens a second of steps of training on one batch, AdamW and clipping."""
    rows = batch[1].shape[0]
    model = BERT(30_522, num_hidden_units=4 * arguments["hidden_size"], max_length=T, **arguments)
    model.compile()
    data = tf.data.Dataset.from_tensors(batch).repeat()
    model.fit(data, steps_per_epoch=1, verbose=0)  # traces
    return [
        rows * T / seconds(lambda: model.fit(data, steps_per_epoch=2, verbose=0)) * 2
        for _ in range(rounds)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        report = measure(pathlib.Path(name), args.seconds, args.rounds)
    print(json.dumps(report, indent=2))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"input-{datetime.date.today().isoformat()}.json"
    path.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    print(f"wrote {path.name}")


def measure(directory: pathlib.Path, duration: float, rounds: int) -> dict[str, Any]:
    corpus = directory / "corpus.txt"
    write_corpus(corpus)
    lines = [line for text in topics.values() for line in text.split("\n")]
    wordpiece = train_wordpiece(texts=lines, vocab_size=8_000)
    bpe = train_byte_bpe(texts=lines, vocab_size=8_000)
    cores = len(os.sched_getaffinity(0))
    preparing: dict[str, float] = {}
    for number in (1, cores):
        took = seconds(
            lambda number=number: prepare(
                corpus,
                wordpiece,
                output=directory / f"wp{number}",
                num_processes=number,
                shard_size=1_000_000,
            )
        )
        tokens = Prepared(directory / f"wp{number}").statistics["tokens"]
        preparing[f"{number} processes"] = tokens / took
    prepare(corpus, bpe, output=directory / "bpe")
    shards = Prepared(directory / "wp1")
    sizes: dict[str, Any] = {"sequence_length": T, "batch_size": B}
    cut = seconds(lambda: masked_lm(shards, wordpiece, **sizes))
    opened = seconds(lambda: masked_lm(shards, wordpiece, **sizes))
    pipelines = {
        "masked LM, shards": masked_lm(shards, wordpiece, **sizes),
        "masked LM, memory": masked_lm(corpus, wordpiece, **sizes),
        "pairs, shards": masked_lm(shards, wordpiece, next_sentence=True, **sizes),
        "pairs, memory": masked_lm(corpus, wordpiece, next_sentence=True, **sizes),
        "causal LM, shards": causal_lm(Prepared(directory / "bpe"), bpe, **sizes),
        "causal LM, memory": causal_lm(corpus, bpe, **sizes),
    }
    steps = {name: iter(pipeline.endless()) for name, pipeline in pipelines.items()}
    late = pipelines["masked LM, shards"].endless(10**9)
    first = seconds(lambda: next(iter(late)))
    rates: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, iterator in steps.items():
            found = rate(iterator, duration)
            if number:  # the first round fills buffers
                rates[name].append(found)
    batch = next(iter(pipelines["masked LM, memory"]))
    # An id of the pipeline is one of the model, whose vocabulary is larger.
    models = {
        name: eaten(tf.nest.map_structure(lambda x, n=rows: x[:n], batch), arguments, rounds)
        for name, (rows, arguments) in MODELS.items()
    }
    median = {name: statistics.median(values) for name, values in {**rates, **models}.items()}
    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": {"cores": cores, "load": os.getloadavg()[0], "cpu": platform.machine()},
        "versions": {"tensorflow": tf.__version__},
        "corpus": {"characters": corpus.stat().st_size, "tokens": shards.statistics["tokens"]},
        "prepare, tokens a second": preparing,
        "masked LM, shards": {
            "s to open, rows not cut yet": cut,
            "s to open": opened,
            "s to the first batch of step 10^9": first,
        },
        "tokens a second": {
            name: {"median": median[name], "all": values}
            for name, values in {**rates, **models}.items()
        },
        "pipeline over model": {
            f"{name} / {model}": median[name] / median[model] for name in rates for model in models
        },
    }


if __name__ == "__main__":
    main()
