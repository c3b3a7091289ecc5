"""Writes golden/beams.json: what Transformers' beam search finds for the model of `beam_cases`.

python tests/generation/make_golden.py

Needs the extra `parity` (torch, transformers). Made with transformers 5.23.0 and torch 2.13.0.
"""

import json
import pathlib

import numpy as np
from beam_cases import KINDS, random_case, table
from transformers_beams import TableModel, search

GOLDEN = pathlib.Path(__file__).parent / "golden" / "beams.json"
CASES = 25


def main():
    rng = np.random.default_rng(0)
    model = TableModel(table()).eval()
    groups = []
    for kind in KINDS:
        cases = [random_case(rng) for _ in range(CASES)]
        answers = [search(model, kind, case) for case in cases]
        groups.append({"kind": kind, "cases": cases, "answers": answers})
    GOLDEN.parent.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(group) for group in groups)
    GOLDEN.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
