"""Vectors by name in the formats of word2vec, which gensim's KeyedVectors and many others read.

Mikolov et al. 2013, arXiv:1301.3781, released code: a line with their number and width, then for
each vector its name, a space, and the numbers as text, or as float32 in the machine's order.
"""

import os
import pathlib
import tempfile
from collections.abc import Sequence

import numpy as np


def check_keys(keys: Sequence[str], number: int) -> list[str]:
    """Returns names that these files can hold.

    Args:
        keys: names.
        number: of the vectors.

    Raises:
        ValueError: they are not as many; one is empty, has white space or comes twice.
    """
    names = list(keys)
    if len(names) != number or not number:
        raise ValueError(
            "There must be a text at least, and a key for each. "
            f"Received: {number} texts, {len(names)} keys"
        )
    seen: set[str] = set()
    for place, name in enumerate(names):
        if not isinstance(name, str) or len(name.split()) != 1 or name != name.strip():
            raise ValueError(
                "A key of word2vec's formats must be a word without white space; give keys=[...] "
                f"for texts that are more. Received: {name!r:.80} at {place}"
            )
        if name in seen:
            raise ValueError(f"A key must come once. Received: {name!r:.80} again at {place}")
        seen.add(name)
    return names


def write_word2vec(
    path: str | os.PathLike, keys: Sequence[str], vectors: np.ndarray, binary: bool | None = None
) -> None:
    """Writes a file, whole or not at all.

    Args:
        path: of the file.
        keys: N names, see `check_keys`.
        vectors: float `(N, D)`.
        binary: the format. None: by the name, binary for `.bin`.
    """
    path = pathlib.Path(path)
    binary = path.suffix == ".bin" if binary is None else binary
    values = np.ascontiguousarray(vectors, "<f4")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(f"{values.shape[0]} {values.shape[1]}\n".encode())
            for key, row in zip(keys, values, strict=True):
                numbers = row.tobytes() if binary else " ".join(map(repr, row.tolist())).encode()
                file.write(key.encode() + b" " + numbers + b"\n")
        pathlib.Path(temporary).chmod(0o644)  # mkstemp's 0600 would hide it from others
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
