"""A forward pass of BERT-base against keras-nlp and Transformers: hidden states of 8 rows of 128.

    python benchmarks/bench_forward.py [--rounds 9]

Float32, random weights; ours without XLA, as an export computes. Each peer is a process of its own
with all cores; they take turns within a round. Ratios are theirs over ours, by round: above 1 this
package is faster. The share of the peak is the arithmetic of the matrix products over the time, by
the speed of a product of 2,048 x 2,048 matrices in the same round.
Writes `benchmarks/results/forward-<date>.json`, with a profile of this package. About three
minutes, and 4 GB. What is not installed is skipped.
"""

import argparse

import races
import step_peers
from peer_process import Peer

SHAPE = step_peers.Shape(layers=12, width=768, heads=12, rows=8, length=128)
PASSES = 4
PEERS = {
    races.OURS: (step_peers.ours_forward, SHAPE),
    "keras-nlp": (step_peers.keras_nlp_forward, SHAPE, False),
    "keras-nlp XLA": (step_peers.keras_nlp_forward, SHAPE, True),
    "transformers": (step_peers.torch_forward, SHAPE),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    peers, gauge = races.start(PEERS), Peer(step_peers.products)
    report = {
        "date": races.now(),
        "machine": races.machine(),
        "versions": races.versions("tensorflow", "keras", "keras-nlp", "torch", "transformers"),
        "rounds": args.rounds,
        "shape": SHAPE._asdict(),
        "forward": races.race(
            peers, gauge, args.rounds, PASSES, SHAPE.forward_gigaflops(0, transform=False)
        ),
    }
    races.show("BERT-base forward, 8 x 128", report["forward"])
    for peer in (*peers.values(), gauge):
        peer.end()
    report["profile"] = races.profile(step_peers.profile_of, step_peers.ours_forward, SHAPE)
    races.write("forward", report)


if __name__ == "__main__":
    main()
