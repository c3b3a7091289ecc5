"""Serving: requests joined into batches, one by one, and by a FastAPI handler; BERT base's shape.

    python benchmarks/bench_serve.py [--lengths 16 128] [--rounds 4] [--seconds 8] [--work DIR]

32 clients, each with a connection of its own, ask one text at a time and ask again when they have
the answer. Three servers stand ready, each a process with all cores: `keras-lm serve`, the same
with `--no-batching`, and FastAPI with a pipeline of Transformers on torch, the same weights. In
each round they are asked one after the other, in turning order, so that what else the machine does
falls on all; who is not asked does nothing. Ratios are answers per second, by round: above 1 the
joined requests are faster. Random weights, float32; times of an answer are those of clients. Adds
to `benchmarks/results/serve-<date>.json`. About three minutes for each length, and 4 GB. What is
not installed is skipped.
"""

import argparse
import contextlib
import datetime
import http.client
import importlib.metadata
import importlib.util
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

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results"
CLIENTS = 32
JOINED, ALONE, FASTAPI = "joined", "one by one", "fastapi and torch"
_PATHS = {
    JOINED: "/v1/models/bert:predict",
    ALONE: "/v1/models/bert:predict",
    FASTAPI: "/classify",
}


def free_port() -> int:
    with contextlib.closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def serving(name: str, work: pathlib.Path) -> Iterator[int]:
    """A server in a process of its own; gives its port."""
    port = free_port()
    if name == FASTAPI:
        words = [str(HERE / "serve_peers.py"), "fastapi", str(work), str(port)]
    else:
        words = ["-m", "keras_lm", "serve", str(work / "saved_models"), "--rest-port", str(port)]
        words += ["--port", "0", *(["--no-batching"] if name == ALONE else [])]
    process = subprocess.Popen([sys.executable, *words], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            if process.poll() is not None or time.monotonic() > end:
                raise OSError(f"{name} did not start")
            time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.wait(60)


def body(name: str, text: str) -> bytes:
    found = {"texts": [text]} if name == FASTAPI else {"instances": [text]}
    return json.dumps(found).encode()


def load(name: str, port: int, texts: list[str], seconds: float) -> tuple[float, list[float]]:
    """Answers per second, and seconds of each answer."""
    end = time.monotonic() + seconds
    times: list[list[float]] = [[] for _ in range(CLIENTS)]
    failed = []

    def client(number: int) -> None:
        draw = random.Random(number)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        with contextlib.closing(connection):
            while time.monotonic() < end:
                asked = body(name, draw.choice(texts))
                started = time.monotonic()
                connection.request(
                    "POST", _PATHS[name], asked, {"Content-Type": "application/json"}
                )
                response = connection.getresponse()
                answer = response.read()
                if response.status != 200:
                    failed.append(f"{name} answered {response.status}: {answer[:200]!r}")
                    return
                times[number].append(time.monotonic() - started)

    started = time.monotonic()
    threads = [threading.Thread(target=client, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise OSError(failed[0])
    found = [one for each in times for one in each]
    # Requests under way at the end are waited for, and count.
    return len(found) / (time.monotonic() - started), found


def percentiles(times: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=100)
    return {"p50_ms": cuts[49] * 1e3, "p99_ms": cuts[98] * 1e3, "answers": len(times)}


def texts_of(length: int, work: pathlib.Path) -> list[str]:
    """Texts of so many tokens, the first and the last special ones included."""
    words = (work / "words.txt").read_text(encoding="utf-8").split()
    draw = random.Random(length)
    return [" ".join(draw.choices(words, k=length - 2)) for _ in range(200)]


def race(length: int, ports: dict[str, int], work: pathlib.Path, rounds: int, seconds: float):
    texts = texts_of(length, work)
    for name, port in ports.items():
        load(name, port, texts, 2.0)  # the first batches of each size are slower
    rates: dict[str, list[float]] = {name: [] for name in ports}
    times: dict[str, list[float]] = {name: [] for name in ports}
    for number in range(rounds):
        for name in list(ports)[:: 1 if number % 2 else -1]:
            rate, found = load(name, ports[name], texts, seconds)
            rates[name].append(rate)
            times[name] += found
            print(f"{length} tokens, {name}: {rate:.1f} answers a second", flush=True)
    found = {
        "tokens": length,
        "rounds": rounds,
        "seconds": seconds,
        "servers": {
            name: {"answers_per_second": rates[name], **percentiles(times[name])} for name in ports
        },
        "joined_over": {
            name: statistics.median(
                [a / b for a, b in zip(rates[JOINED], rates[name], strict=True)]
            )
            for name in ports
            if name != JOINED
        },
    }
    print(json.dumps(found["joined_over"]), flush=True)
    return found


def write(found: dict) -> None:
    """Adds the lengths to the file of this day."""
    path = RESULTS / f"serve-{datetime.date.today().isoformat()}.json"
    whole = json.loads(path.read_text()) if path.exists() else {"lengths": []}
    measured = {case["tokens"] for case in found["lengths"]}
    kept = [case for case in whole["lengths"] if case["tokens"] not in measured]
    found["lengths"] = sorted(kept + found["lengths"], key=lambda case: case["tokens"])
    path.write_text(json.dumps(found, indent=2) + "\n")
    print(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=[16, 128])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--work", type=pathlib.Path, help="where the model is, or is to be, made")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        work = options.work or pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if not (work / "saved_models" / "bert" / "1").exists():
            subprocess.run([sys.executable, str(HERE / "serve_peers.py"), "make", work], check=True)
        peers = [JOINED, ALONE]
        if all(importlib.util.find_spec(m) for m in ("fastapi", "torch", "transformers")):
            peers.append(FASTAPI)
        ports = {name: stack.enter_context(serving(name, work)) for name in peers}
        lengths = [
            race(length, ports, work, options.rounds, options.seconds) for length in options.lengths
        ]
    names = ("tensorflow", "torch", "transformers", "fastapi", "starlette", "uvicorn")
    versions = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    write(
        {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "machine": {"cores": os.cpu_count(), "cpu": platform.machine()},
            "versions": versions,
            "clients": CLIENTS,
            "lengths": lengths,
        }
    )


if __name__ == "__main__":
    main()
