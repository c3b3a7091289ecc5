"""Training with a sampled softmax against the whole one: the time of a step, and perplexity.

    python benchmarks/bench_sampled_softmax.py [--text FILE ...] [--samples 8192] [--steps 300]
                                               [--rounds 7] [--seeds 3]

Time: steps of a small GPT on the same batches of ids drawn by Zipf's law, in turns, so that what
else the machine does falls on both. Ratios are whole over sampled, by round: above 1 sampling is
faster. Perplexity: of held-out text, by the whole softmax, after equal steps on the same batches;
every tenth line is held out. Each seed is another start, and other samples. The vocabulary, of
50,257 tokens where the text is long enough, is trained on the rest. Without --text it is Python's
own documentation. Writes `benchmarks/results/sampled-softmax-<date>.json`. About twenty minutes on
two cores.
"""

import argparse
import datetime
import gc
import json
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pydoc_data.topics import topics
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

import keras_lm
from keras_lm.training import SampledSoftmax

RESULTS = pathlib.Path(__file__).parent / "results"
BATCH, LENGTH, LENGTH_OF_TEXT = 8, 128, 64
SIZES = {"hidden_size": 128, "num_layers": 2, "num_attention_heads": 4, "num_hidden_units": 512}
VOCABULARIES = (50_257, 200_000)


def make_gpt(
    vocab_size: int, sampled: SampledSoftmax | None, learning_rate: float, seed: int = 0
) -> keras_lm.GPT:
    keras.utils.set_random_seed(seed)
    model = keras_lm.GPT(vocab_size, **SIZES, dropout_rate=0.0, max_length=LENGTH)
    model.build()
    model.compile(sampled_softmax=sampled, learning_rate=learning_rate)
    model.optimizer.build(model.trainable_variables)
    return model


def spread(values: Sequence[float]) -> dict[str, float]:
    low, median, high = statistics.quantiles(values, n=4)
    return {"median": median, "quartile_1": low, "quartile_3": high, "minimum": min(values)}


def step_times(vocab_size: int, samples: int, rounds: int) -> dict[str, Any]:
    """Times a whole step of each kind, update included, the one first and then the other first."""
    share = 1 / np.arange(1, vocab_size + 1)
    share /= share.sum()
    draw = np.random.default_rng(0).choice(vocab_size, (rounds + 2, BATCH, LENGTH + 1), p=share)
    steps: dict[str, Callable] = {}
    for name, sampler in (("whole", None), ("sampled", SampledSoftmax(samples, share * 1e9))):
        model = make_gpt(vocab_size, sampler, learning_rate=1e-3)
        steps[name] = tf.function(model.train_step, autograph=False)
    times: dict[str, list[float]] = {"whole": [], "sampled": []}
    for number, ids in enumerate(draw.astype("int32")):
        data = {"token_ids": tf.constant(ids[:, :-1])}, tf.constant(ids[:, 1:])
        order = list(steps.items())
        for name, step in order if number % 2 else order[::-1]:
            begin = time.perf_counter()
            float(step(data)["loss"])
            times[name].append(time.perf_counter() - begin)
    # Either side's first two rounds trace, and fill caches of the runtime.
    whole, sampled = (times[name][2:] for name in ("whole", "sampled"))
    return {
        "rounds": rounds,
        "whole_ms": spread([1e3 * x for x in whole]),
        "sampled_ms": spread([1e3 * x for x in sampled]),
        "whole_over_sampled": spread([a / b for a, b in zip(whole, sampled, strict=True)]),
    }


def perplexities(text: str, samples: int, steps: int, seeds: int) -> dict[str, Any]:
    """Trains a GPT with each kind of softmax for so many steps."""
    lines = [line for line in text.split("\n") if line.strip()]
    train = [line for number, line in enumerate(lines) if number % 10]
    tokenizer = keras_lm.tokenizers.train_byte_bpe(texts=train, vocab_size=50_257)
    rows = {"tokenizer": tokenizer, "sequence_length": LENGTH_OF_TEXT, "batch_size": BATCH}
    data = keras_lm.data.causal_lm(texts=train, **rows)
    dev = keras_lm.data.causal_lm(texts=lines[::10][:1000], shuffle=False, **rows).take(40).cache()
    samples = min(samples, tokenizer.vocab_size // 6)
    distributions = {
        "whole": None,
        "counts": data.token_counts,
        "log_uniform": "log_uniform",
        "uniform": "uniform",
    }
    found: dict[str, Any] = {
        "vocabulary": tokenizer.vocab_size,
        "samples": samples,
        "steps": steps,
        "tokens_of_a_step": BATCH * LENGTH_OF_TEXT,
        "characters_to_train_on": sum(map(len, train)),
        "tokens_held_out": 40 * BATCH * LENGTH_OF_TEXT,
        "softmax": {},
    }
    for name, distribution in distributions.items():
        runs = []
        for seed in range(seeds):
            sampler = None
            if distribution is not None:
                sampler = SampledSoftmax(samples, distribution, seed=seed)
            model = make_gpt(tokenizer.vocab_size, sampler, learning_rate=2e-3, seed=seed)
            history = model.fit(data, epochs=1, steps_per_epoch=steps, verbose=0).history
            values = model.evaluate(dev, verbose=0, return_dict=True)
            runs.append({**values, "training_loss_shown": history["loss"][0]})
            print(f"{name:12} seed {seed} perplexity {values['perplexity']:8.1f}", flush=True)
            del model
            gc.collect()
        found["softmax"][name] = {key: [run[key] for run in runs] for key in sorted(runs[0])}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--text", nargs="*", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--samples", type=int, default=8_192)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    text = "\n".join(
        [path.read_text("utf-8") for path in args.text]
        if args.text
        else [topics[name] for name in sorted(topics)]
    )
    times = {}
    for vocab_size in VOCABULARIES:
        result = times[str(vocab_size)] = step_times(vocab_size, args.samples, args.rounds)
        ratio = result["whole_over_sampled"]
        print(
            f"vocabulary {vocab_size}: whole {result['whole_ms']['median']:.0f} ms, sampled "
            f"{result['sampled_ms']['median']:.0f} ms, whole/sampled {ratio['median']:.2f} "
            f"({ratio['quartile_1']:.2f} to {ratio['quartile_3']:.2f})",
            flush=True,
        )
        gc.collect()
    report = {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "load": os.getloadavg()[0], "cpu": platform.machine()},
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
        "model": {**SIZES, "batch": [BATCH, LENGTH], "optimizer": "AdamW, clipped"},
        "samples": args.samples,
        "step": times,
        "text": [path.name for path in args.text or []] or ["pydoc_data/topics.py"],
        "perplexity": perplexities(text, args.samples, args.steps, args.seeds),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"sampled-softmax-{datetime.date.today().isoformat()}.json"
    path.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
