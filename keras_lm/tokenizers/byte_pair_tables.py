"""What the `tokenizers` library takes for letters, numbers and whitespace, over all code points.

The library's Unicode is newer than Python's and older than the `regex` package's (thousands of code
points differ), so the table is probed from the library itself and shipped with its version:

    python -m keras_lm.tokenizers.byte_pair_tables
"""

import pathlib
from collections.abc import Iterable

import numpy as np
import tokenizers

from keras_lm.tokenizers.characters import NUM_CODE_POINTS, fold

OTHER, LETTER, NUMBER, SPACE = range(4)
PATH = pathlib.Path(__file__).parent / "tables" / "byte_classes.npz"


def probe(code_points: Iterable[int]) -> np.ndarray:
    """Asks the library for the class of each code point; surrogates, which no text has, are OTHER.

    A letter, a number and a symbol each stay in one word with their like; whitespace does so with
    none of them.
    """
    split = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str
    classes = []
    for code_point in code_points:
        found = OTHER
        if not 0xD800 <= code_point < 0xE000:
            character = chr(code_point)
            likes = ((LETTER, "a"), (NUMBER, "1"), (OTHER, "!"))
            found = next((c for c, like in likes if len(split(like + character)) == 1), SPACE)
        classes.append(found)
    return np.array(classes, np.uint8)


def load() -> tuple[np.ndarray, np.ndarray]:
    """The class of each code point in two stages, as `characters.fold` gives them."""
    with np.load(PATH) as file:
        return file["places"], file["cells"]


def version() -> str:
    """The version of the library that was probed."""
    with np.load(PATH) as file:
        return str(file["version"])


def write() -> None:
    """Probes all code points and writes the table."""
    places, cells = fold(probe(range(NUM_CODE_POINTS)))
    np.savez_compressed(PATH, places=places, cells=cells, version=tokenizers.__version__)


if __name__ == "__main__":
    write()
