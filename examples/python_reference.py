"""Write Python's own language reference as text to train on and text that is held out.

    python examples/python_reference.py             # .cache/corpora/python_reference/

For the small recipes of `examples/configs`. Data: the pages that Python's `help()` shows
(`pydoc_data/topics.py`, PSF License Version 2), each paragraph once, 330,000 characters. A page is
a document, a paragraph a line, and a blank line stands between documents. A tenth of the paragraphs
is held out by a hash; those of them that share eight words in a row with the rest are left out.
"""

import argparse
import pathlib
import pydoc_data.topics
import re

from keras_lm.data import split_by_hash

DIRECTORY = pathlib.Path(".cache/corpora/python_reference")


def write(directory: pathlib.Path) -> list[pathlib.Path]:
    """Writes `train.txt` and `held_out.txt`; returns their paths."""
    seen: set[str] = set()
    pages = []
    for _, page in sorted(pydoc_data.topics.topics.items()):
        blocks = [" ".join(block.split()) for block in re.split(r"\n\s*\n", page)]
        # A block without a letter is a ruler.
        new = [block for block in blocks if re.search(r"[^\W\d_]", block) and block not in seen]
        seen.update(new)
        pages.append(list(dict.fromkeys(new)))
    shares = {"train": 0.9, "held_out": 0.1}
    every = [paragraph for page in pages for paragraph in page]
    parts = split_by_hash(every, shares, key=lambda text: text).parts
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, chosen in parts.items():
        kept = set(chosen)
        documents = ["\n".join(text for text in page if text in kept) for page in pages]
        paths.append(directory / f"{name}.txt")
        paths[-1].write_text("\n\n".join(filter(None, documents)) + "\n", encoding="utf-8")
    return paths


def main() -> None:
    """Reads the command line, writes, and prints the paths."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=DIRECTORY)
    for path in write(parser.parse_args().out):
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
