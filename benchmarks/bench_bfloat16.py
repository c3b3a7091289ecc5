"""What bfloat16 gains: the same passes, steps and texts as in float32, and peers in bfloat16.

    python benchmarks/bench_bfloat16.py [--rounds 7]

    forward     BERT base, 8 x 128 and 1 x 16, in a graph without XLA, as an export computes
    training    the steps of `bench_train.py`, without XLA, in mixed_bfloat16
    decoding    GPT-2's shape, one prompt of 32 tokens and eight, 64 new tokens each, greedily

Random weights and ids. Every way is a process of its own with all cores; they take turns within a
round. Ratios are times over that of this package in bfloat16 ("ours"), by round: above 1 bfloat16,
or this package, is faster. The peak is that of float32 products, so its share may be above 1.
Processors without instructions for bfloat16 (`avx512_bf16` or `amx_bf16` in /proc/cpuinfo) are
slower in it; the result says which this one has. Nothing here ran on a GPU.
Writes `benchmarks/results/bfloat16-<date>.json`. About eight minutes, and 10 GB. What is not
installed is skipped.
"""

import argparse
import pathlib
import re

import races
import step_peers
from peer_process import Peer

BASE = step_peers.Shape(layers=12, width=768, heads=12, rows=8, length=128)
SHORT = BASE._replace(rows=1, length=16)
TRAINED = step_peers.Shape(layers=4, width=512, heads=8, rows=16, length=128)
GPT2 = BASE._replace(rows=1, length=32, vocab_size=50_257)
HALF, MIXED = "bfloat16", "mixed_bfloat16"


def forward(shape: step_peers.Shape) -> races.Makers:
    return {
        races.OURS: (step_peers.ours_forward, shape, HALF),
        "ours float32": (step_peers.ours_forward, shape),
        "keras-nlp": (step_peers.keras_nlp_forward, shape, False, HALF),
        "transformers": (step_peers.torch_forward, shape, True),
    }


def training(causal: bool) -> races.Makers:
    return {
        races.OURS: (step_peers.ours_training, TRAINED, causal, False, MIXED),
        "ours float32": (step_peers.ours_training, TRAINED, causal, False),
        "keras-nlp": (step_peers.keras_nlp_training, TRAINED, causal, False, MIXED),
        "transformers": (step_peers.torch_training, TRAINED, causal, True),
    }


def decoding(shape: step_peers.Shape) -> races.Makers:
    return {
        races.OURS: (step_peers.ours_decoding, shape, HALF),
        "ours float32": (step_peers.ours_decoding, shape),
    }


def passes_of_decoding(shape: step_peers.Shape) -> float:
    """Arithmetic of 64 passes of one token a row, the prompts apart."""
    return 64 * shape._replace(length=1).forward_gigaflops(shape.rows, transform=False)


def training_gigaflops(causal: bool) -> float:
    predicted = TRAINED.rows * (TRAINED.length if causal else TRAINED.masked)
    return 3 * TRAINED.forward_gigaflops(predicted, transform=not causal)


# What is timed: who takes part, how often each acts in a round, the arithmetic of one act.
RACES = {
    "forward, 8 x 128": (forward(BASE), 4, BASE.forward_gigaflops(0, transform=False)),
    "forward, 1 x 16": (forward(SHORT), 20, SHORT.forward_gigaflops(0, transform=False)),
    "a step of BERT": (training(False), 3, training_gigaflops(False)),
    "a step of GPT": (training(True), 3, training_gigaflops(True)),
    "64 tokens, 1 prompt": (decoding(GPT2), 1, passes_of_decoding(GPT2)),
    "64 tokens, 8 prompts": (
        decoding(GPT2._replace(rows=8)),
        1,
        passes_of_decoding(GPT2._replace(rows=8)),
    ),
}


def instructions() -> list[str]:
    """Those of this processor that are for bfloat16, as Linux tells them."""
    path = pathlib.Path("/proc/cpuinfo")
    return sorted(set(re.findall(r"\w+_bf16", path.read_text()))) if path.is_file() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    gauge = Peer(step_peers.products)
    report = {
        "date": races.now(),
        "machine": {**races.machine(), "instructions": instructions()},
        "versions": races.versions("tensorflow", "keras", "keras-nlp", "torch", "transformers"),
        "rounds": args.rounds,
        "races": {},
    }
    for name, (makers, repeats, gigaflops) in RACES.items():
        peers = races.start(makers)
        found = races.race(peers, gauge, args.rounds, repeats, gigaflops)
        report["races"][name] = found
        races.show(name, found)
        for peer in peers.values():
            peer.end()
    gauge.end()
    races.write("bfloat16", report)


if __name__ == "__main__":
    main()
