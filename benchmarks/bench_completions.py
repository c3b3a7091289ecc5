"""Completions of eight clients: continued together, and one at a time; GPT-2's shape.

    python benchmarks/bench_completions.py [--rounds 2] [--seconds 20] [--layers 12] [--work DIR]

Eight clients, each with a connection of its own, ask `/v1/completions` for streams of 32 tokens and
ask again when they have all of them, of one `keras-lm serve` with eight slots. In each round they
ask once all at the same time, and once one at a time: seven wait until the other has its answer.
The order turns, so that what else the machine does falls on both. The
ratio is tokens per second, by round: above 1 continuous batching is faster. Random weights of 124
million parameters, float32, drawn tokens; prompts of 8 to 40 words. Times to the first token are
those of clients. Writes `benchmarks/results/completions-<date>.json`. Four minutes and 5 GB.
"""

import argparse
import contextlib
import datetime
import http.client
import importlib.metadata
import json
import os
import pathlib
import platform
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

RESULTS = pathlib.Path(__file__).parent / "results"
CLIENTS, TOKENS = 8, 32
TOGETHER, ALONE = "together", "one at a time"
AT_A_TIME = {TOGETHER: CLIENTS, ALONE: 1}


def make(work: pathlib.Path, layers: int) -> None:
    """Exports the model."""
    import pydoc_data.topics

    import keras_lm

    corpus = work / "corpus.txt"
    corpus.write_text("\n\n".join(pydoc_data.topics.topics.values()))
    tokenizer = keras_lm.tokenizers.train_byte_bpe([corpus], 2_000)
    # As many rows of the table as GPT-2 has; those without a text are never drawn.
    model = keras_lm.GPT(50_257, 768, layers, 12, 3_072, max_length=1_024, tokenizer=tokenizer)
    model.build()
    keras_lm.export(model, work / "saved_models" / "gpt", extra_files=False)


@contextlib.contextmanager
def serving(work: pathlib.Path) -> Iterator[int]:
    """A server in a process of its own; gives its port, which opens when the model is loaded."""
    with contextlib.closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    words = ["-m", "keras_lm", "serve", str(work / "saved_models"), "--rest-port", str(port)]
    words += ["--port", "0", "--engine", "python", "--slots", str(CLIENTS)]
    process = subprocess.Popen([sys.executable, *words], stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(60)


def wait_for(port: int) -> None:
    end = time.monotonic() + 240
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        if time.monotonic() > end:
            raise OSError("A server did not start")
        time.sleep(0.2)


def load(port: int, at_a_time: int, seconds: float) -> tuple[float, list[float]]:
    """Tokens per second, and seconds to each first token, the wait for one's turn included."""
    turn = threading.Semaphore(at_a_time)
    end = time.monotonic() + seconds
    words = ["class", "name", "binds", "statement", "which", "if", "the", "is", "a", "that"]
    firsts: list[float] = []
    counts: list[int] = []
    failed: list[str] = []

    def client(number: int) -> None:
        draw = random.Random(number)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        with contextlib.closing(connection):
            while time.monotonic() < end:
                asked = {
                    "model": "gpt",
                    "prompt": " ".join(draw.choices(words, k=draw.randint(8, 40))),
                    "max_tokens": TOKENS,
                    "min_tokens": TOKENS,
                    "seed": draw.randrange(2**31),
                    "stream": True,
                    "stream_options": {"include_usage": True},
                }
                started = time.monotonic()
                with turn:
                    connection.request("POST", "/v1/completions", json.dumps(asked))
                    response = connection.getresponse()
                    lines = [response.readline()]
                    firsts.append(time.monotonic() - started)
                    lines += response.read().split(b"\n\n")
                if response.status != 200 or not lines[-2].endswith(b"[DONE]"):
                    failed.append(f"{response.status}: {lines[0][:200]!r}")
                    return
                usage = json.loads(lines[-3].removeprefix(b"data: "))["usage"]
                counts.append(usage["completion_tokens"])

    started = time.monotonic()
    threads = [threading.Thread(target=client, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise OSError(failed[0])
    # Requests under way at the end are waited for, and count.
    return sum(counts) / (time.monotonic() - started), firsts


def percentiles(times: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=100)
    return {"p50_ms": cuts[49] * 1e3, "p99_ms": cuts[98] * 1e3, "requests": len(times)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--work", type=pathlib.Path, help="where the model is, or is to be, made")
    parser.add_argument("--only-make", action="store_true", help="the model, and nothing else")
    options = parser.parse_args()
    rates: dict[str, list[float]] = {name: [] for name in AT_A_TIME}
    times: dict[str, list[float]] = {name: [] for name in AT_A_TIME}
    with contextlib.ExitStack() as stack:
        work = options.work or pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if not (work / "saved_models" / "gpt" / "1").exists():
            work.mkdir(parents=True, exist_ok=True)
            make(work, options.layers)
        if options.only_make:
            return
        port = stack.enter_context(serving(work))
        wait_for(port)
        for most in AT_A_TIME.values():
            load(port, most, 0.1)  # the first batches of each size are slower
        for number in range(options.rounds):
            for name in list(AT_A_TIME)[:: 1 if number % 2 else -1]:
                rate, found = load(port, AT_A_TIME[name], options.seconds)
                rates[name].append(rate)
                times[name] += found
                print(f"{name}: {rate:.1f} tokens a second", flush=True)
    ratios = [a / b for a, b in zip(rates[TOGETHER], rates[ALONE], strict=True)]
    found = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "cpu": platform.machine()},
        "versions": {
            name: importlib.metadata.version(name) for name in ("tensorflow", "starlette")
        },
        "clients": CLIENTS,
        "tokens_of_a_request": TOKENS,
        "layers": options.layers,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "asked": {
            name: {"tokens_per_second": rates[name], "first_token": percentiles(times[name])}
            for name in AT_A_TIME
        },
        "together_over_one_at_a_time": ratios,
    }
    path = RESULTS / f"completions-{datetime.date.today().isoformat()}.json"
    path.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2), path)


if __name__ == "__main__":
    main()
