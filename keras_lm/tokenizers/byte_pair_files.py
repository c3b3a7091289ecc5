"""The two files of a byte-level BPE: vocab.json and merges.txt."""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence

Merge = tuple[str, str]

_VERSION = "#version"


def read_vocabulary(vocab: str | os.PathLike | Mapping[str, int]) -> dict[str, int]:
    """Token to id, from a vocab.json or a dict.

    Raises:
        ValueError: a file that holds no such thing.
    """
    if not isinstance(vocab, str | os.PathLike):
        return dict(vocab)
    try:
        ids = json.loads(pathlib.Path(vocab).read_text("utf-8"))
    except ValueError as error:  # also what is not UTF-8
        raise ValueError(
            f"A vocabulary file must be JSON in UTF-8. Received: {os.fspath(vocab)!r}, {error}"
        ) from error
    if not isinstance(ids, dict):
        raise ValueError(
            "A vocabulary file must hold one object, token to id. "
            f"Received: {os.fspath(vocab)!r} with a {type(ids).__name__}"
        )
    return ids


def read_merges(merges: str | os.PathLike | Sequence[str | Sequence[str]]) -> list[Merge]:
    """Merges by rank, from a merges.txt or a list.

    Raises:
        ValueError: a merge that is not two tokens, with its line or number.
    """
    where = "merge"
    if isinstance(merges, str | os.PathLike):
        where = f"{os.fspath(merges)!r}, line"
        # Not splitlines: a letter may be a character that Python takes for the end of a line.
        lines = pathlib.Path(merges).read_text("utf-8").split("\n")
        merges = [line.removesuffix("\r") for line in lines]
        if not merges[-1]:
            merges.pop()
    pairs = []
    for number, merge in enumerate(merges, 1):
        if isinstance(merge, str):
            if merge.startswith(_VERSION):
                continue
            merge = merge.split(" ")
        if len(merge) != 2 or not all(merge):
            raise ValueError(
                "A merge must be two tokens with one space between them. "
                f"Received: {where} {number}, {' '.join(merge)!r}"
            )
        pairs.append((merge[0], merge[1]))
    return pairs


def contents(vocab: Mapping[str, int], merges: Sequence[Merge]) -> dict[str, str]:
    """What stands in the files: name to content."""
    lines = [f"{_VERSION}: 0.2", *(f"{first} {second}" for first, second in merges)]
    return {
        "vocab.json": json.dumps(vocab, ensure_ascii=False),
        "merges.txt": "\n".join(lines) + "\n",
    }
