"""A step of training against keras-nlp and Transformers: a BERT and a GPT, 4 x 512, 16 x 128.

    python benchmarks/bench_train.py [--rounds 7] [--models BERT GPT]

Float32, random weights and ids, vocabulary of 30,522, dropout 0.1; a step is forward, backward,
clipping to a global norm of 1, AdamW and accuracy. BERT predicts 20 masked tokens a row, GPT every
next one. Torch gathers the masked positions before its head, as this package does; the head of
`BertForMaskedLM` alone would compute logits everywhere. Each peer is a process of its own with all
cores; they take turns within a round. Ratios are theirs over ours, by round: above 1 this package
is faster. The share of the peak counts three times the products of a forward pass. Memory is the
most that each process held. The profile is of this package without XLA.
Writes `benchmarks/results/train-<date>.json`, unless models are chosen. About eight minutes, and 10
GB. What is not installed is skipped.
"""

import argparse

import races
import step_peers
from peer_process import Peer

SHAPE = step_peers.Shape(layers=4, width=512, heads=8, rows=16, length=128)
STEPS = 3
MODELS = {"BERT": False, "GPT": True}


def peers_of(causal: bool) -> races.Makers:
    return {
        races.OURS: (step_peers.ours_training, SHAPE, causal, False),
        "ours XLA": (step_peers.ours_training, SHAPE, causal, True),
        "keras-nlp": (step_peers.keras_nlp_training, SHAPE, causal, False),
        "keras-nlp XLA": (step_peers.keras_nlp_training, SHAPE, causal, True),
        "transformers": (step_peers.torch_training, SHAPE, causal),
    }


def gigaflops(causal: bool) -> float:
    predicted = SHAPE.rows * (SHAPE.length if causal else SHAPE.masked)
    return 3 * SHAPE.forward_gigaflops(predicted, transform=not causal)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    args = parser.parse_args()
    gauge = Peer(step_peers.products)
    report = {
        "date": races.now(),
        "machine": races.machine(),
        "versions": races.versions("tensorflow", "keras", "keras-nlp", "torch", "transformers"),
        "rounds": args.rounds,
        "shape": SHAPE._asdict(),
        "steps": {},
        "profiles": {},
    }
    for name in args.models:
        peers = races.start(peers_of(MODELS[name]))
        found = races.race(peers, gauge, args.rounds, STEPS, gigaflops(MODELS[name]))
        report["steps"][name] = found
        races.show(f"a step of {name}", found)
        for peer in peers.values():
            peer.end()
        report["profiles"][name] = races.profile(
            step_peers.profile_of, step_peers.ours_training, SHAPE, MODELS[name], False
        )
    gauge.end()
    if args.models == list(MODELS):
        races.write("train", report)


if __name__ == "__main__":
    main()
