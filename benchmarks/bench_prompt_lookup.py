"""Decoding by proposals against decoding token by token: prompt lookup, and a smaller draft model.

    python benchmarks/bench_prompt_lookup.py [--rounds 7] [--steps 600] [--tokens 8]

A byte-level GPT learns Python's own language reference (`pydoc_data/topics.py`) for a few minutes;
a draft model of a quarter of its width learns the same. Then both ways continue the same prompts
in the same run, in turns, the one first and then the other first:

    documents   beginnings of held-out documents; what repeats in them repeats
    copies      a held-out passage twice, the second time broken off: as in editing or quoting
    nothing     random ids, continued by a model with random weights: no pair of tokens returns

Greedy, and draws at temperature 0.8 with one seed; one prompt, and eight at once. Speed-ups are
ratios of times of one round, token by token over proposals: above 1 proposals are faster. The
trained model is small and one of its passes hardly costs more than starting it; `wide` is a model
of GPT-2's width and 4 layers with random weights, whose passes cost what reading the weights does,
on `nothing` and on what it writes itself.
Writes `benchmarks/results/prompt_lookup-<date>.json`.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import pydoc_data.topics
import re
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

import keras_lm

RESULTS = pathlib.Path(__file__).parent / "results"
VOCAB_SIZE, LENGTH, PROMPT, NEW = 2_000, 256, 128, 96
LARGE = {"hidden_size": 256, "num_layers": 4, "num_attention_heads": 4, "num_hidden_units": 1024}
SMALL = {"hidden_size": 64, "num_layers": 1, "num_attention_heads": 2, "num_hidden_units": 256}
WIDE = {"hidden_size": 768, "num_layers": 4, "num_attention_heads": 12, "num_hidden_units": 3072}
BATCHES = (1, 8)
DRAWN = {"temperature": 0.8, "seed": 1}


def documents() -> tuple[list[str], list[str]]:
    """Documents to learn from, and every eighth, which is held out."""
    topics = pydoc_data.topics.topics
    texts = [re.sub(r"[ \t]+", " ", topics[name]) for name in sorted(topics)]
    texts = list(dict.fromkeys(text for text in texts if len(text) > 1_000))
    return [t for i, t in enumerate(texts) if i % 8], texts[::8]


def learned(texts: list[str], tokenizer: Any, sizes: dict[str, int], steps: int) -> Any:
    """A GPT that was trained on texts."""
    keras.utils.set_random_seed(0)
    model = keras_lm.GPT(
        tokenizer.vocab_size,
        **sizes,
        dropout_rate=0.1,
        max_length=LENGTH,
        initializer_range=0.04,
        tokenizer=tokenizer,
    )
    data = keras_lm.data.causal_lm(
        texts=texts, tokenizer=tokenizer, sequence_length=LENGTH, batch_size=8
    )
    model.compile(learning_rate=2e-3)
    model.fit(data, epochs=1, steps_per_epoch=steps, verbose=2)
    return model


def spread(values: Sequence[float]) -> dict[str, float]:
    low, median, high = statistics.quantiles(values, n=4)
    return {"median": median, "quartile_1": low, "quartile_3": high}


def race(
    model: Any, prompts: list[list[int]], by: dict[str, Any], options: dict[str, Any], rounds: int
) -> dict[str, Any]:
    """Generates by proposals and without, in turns, each as `generate` is called."""
    calls: dict[str, Callable[[], Any]] = {
        "proposals": lambda: model.generate(prompts, **options, **by),
        "plain": lambda: model.generate(prompts, **options),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 2):
        order = list(calls.items())
        for name, call in order if number % 2 else order[::-1]:
            begin = time.perf_counter()
            call()
            # The first two rounds trace, and fill caches of the runtime.
            times[name] += [time.perf_counter() - begin] if number > 1 else []
    answers = model.generate(prompts, **options, **by, return_scores=True)
    plain = model.generate(prompts, **options, return_scores=True)
    tokens = sum(len(answer.log_probs) for answer in answers)
    proposed = sum(answer.proposed for answer in answers)
    accepted = sum(answer.accepted for answer in answers)
    pairs = zip(times["plain"], times["proposals"], strict=True)
    return {
        "new_tokens": tokens,
        "passes": max(answer.passes for answer in answers),
        "passes_plain": max(answer.passes for answer in plain),
        "tokens_a_pass": tokens / sum(answer.passes for answer in answers),
        "acceptance": accepted / proposed if proposed else None,
        "proposed_a_pass": proposed / sum(answer.passes for answer in answers),
        "same_texts": sum(a.token_ids == b.token_ids for a, b in zip(answers, plain, strict=True)),
        "texts": len(answers),
        "ms_a_token": {
            name: 1e3 * statistics.median(values) * len(answers) / tokens
            for name, values in times.items()
        },
        "plain_over_proposals": spread([a / b for a, b in pairs]),
    }


def prompts_of(held_out: list[str], tokenizer: Any) -> dict[str, list[list[int]]]:
    """Prompts by kind, eight of each."""
    rows = [row for row in tokenizer.encode_batch(held_out) if len(row) >= PROMPT][: max(BATCHES)]
    half = PROMPT // 2
    return {
        "documents": [row[:PROMPT] for row in rows],
        "copies": [row[: half + 24] + row[: PROMPT - half - 24] for row in rows],
    }


def random_ids(vocab_size: int) -> list[list[int]]:
    """No id twice in a row."""
    rng = np.random.default_rng(0)
    return [rng.permutation(vocab_size)[:PROMPT].tolist() for _ in range(max(BATCHES))]


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    train, held_out = documents()
    tokenizer = keras_lm.tokenizers.train_byte_bpe(texts=train, vocab_size=VOCAB_SIZE)
    model = learned(train, tokenizer, LARGE, args.steps)
    draft = learned(train, tokenizer, SMALL, args.steps)
    lookup = {"prompt_lookup_num_tokens": args.tokens}
    ways = {"prompt lookup": lookup, "draft model": {"draft_model": draft}}
    found = []

    def add(of: Any, what: str, prompts: list[list[int]], way: str, **options: Any) -> None:
        for batch in BATCHES:
            options = {"max_new_tokens": NEW, **options}
            result = race(of, prompts[:batch], ways[way], options, args.rounds)
            case = {"way": way, "prompts": what, "rows": batch, "drawn": "temperature" in options}
            found.append(case | result)
            show(found[-1])

    for what, prompts in prompts_of(held_out, tokenizer).items():
        for way in ways:
            add(model, what, prompts, way)
            add(model, what, prompts, way, **DRAWN)
    # A model that knows nothing does not repeat itself where it draws.
    fresh = keras_lm.GPT(VOCAB_SIZE, **LARGE, max_length=LENGTH)
    add(fresh, "nothing", random_ids(VOCAB_SIZE), "prompt lookup", temperature=1.0, seed=1)
    wide = keras_lm.GPT(50_257, **WIDE, max_length=LENGTH)
    add(wide, "wide, nothing", random_ids(50_257), "prompt lookup", temperature=1.0, seed=1)
    add(wide, "wide, its own", random_ids(50_257), "prompt lookup")
    return found


def show(result: dict[str, Any]) -> None:
    ratio, rate = result["plain_over_proposals"], result["acceptance"]
    accepted = "-" if rate is None else f"{rate:.2f}"
    print(
        f"{result['way']:13} {result['prompts']:14} x{result['rows']} "
        f"{'drawn ' if result['drawn'] else 'greedy'} accepted {accepted}"
        f", {result['tokens_a_pass']:.2f} tokens a pass, passes {result['passes']} for "
        f"{result['passes_plain']}: {ratio['median']:.2f} "
        f"({ratio['quartile_1']:.2f} to {ratio['quartile_3']:.2f})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=600, help="of training")
    parser.add_argument("--tokens", type=int, default=8, help="that prompt lookup proposes")
    args = parser.parse_args()
    report = {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "load": os.getloadavg()[0], "cpu": platform.machine()},
        "versions": {"tensorflow": tf.__version__},
        "models": {"large": LARGE, "draft": SMALL, "wide": WIDE, "vocab_size": VOCAB_SIZE},
        "steps": args.steps,
        "rounds": args.rounds,
        "prompt_tokens": PROMPT,
        "new_tokens": NEW,
        "lookup_tokens": args.tokens,
        "results": measure(args),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"prompt_lookup-{datetime.date.today().isoformat()}.json"
    path.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
