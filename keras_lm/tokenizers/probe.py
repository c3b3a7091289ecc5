"""Asks the `tokenizers` library what BERT's normalizer does with each code point.

    python -m keras_lm.tokenizers.probe

writes `tables/bert.npz`, which `bert_words` reads. The library is the reference: its tables are
older than Python's `unicodedata` in some places and newer in others. It takes about a minute.

What a cell of a table holds, from the lowest bit:

    21 bits   what to add to the code point, modulo 2^21, or the number of an expansion
     2 bits   NORMAL, SPACE, ALONE (punctuation: a word of its own) or DELETED
     1 bit    EXPANDS to several code points
     5 bits   the rank of its canonical combining class, 0 for what is never reordered
     1 bit    STARTS a run of marks: marks are never reordered across it
     1 bit    CHINESE: a word of its own where Chinese characters are

In an expansion the lowest bits are the code points themselves. Differences, not code points, make
pages alike: the file would be 20 times as large.
"""

import pathlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tokenizers
from tokenizers import normalizers, pre_tokenizers

from keras_lm.tokenizers import characters

PATH = pathlib.Path(__file__).parent / "tables" / "bert.npz"

CODE_POINT = (1 << 21) - 1
KIND_SHIFT, RANK_SHIFT = 21, 24
NORMAL, SPACE, ALONE, DELETED = range(4)
EXPANDS, STARTS, CHINESE = 1 << 23, 1 << 29, 1 << 30
RANK = 31 << RANK_SHIFT

# (lowercase, strip_accents)
VARIANTS = ((False, False), (False, True), (True, False), (True, True))
_SURROGATES = range(0xD800, 0xE000)


def normalize(lowercase: bool, strip_accents: bool, chinese: bool = False) -> Callable[[str], str]:
    """The library's own normalizer."""
    return normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=chinese,
        strip_accents=strip_accents,
        lowercase=lowercase,
    ).normalize_str


def kind(character: str) -> int:
    """NORMAL, SPACE or ALONE, by the library's pre-tokenizer."""
    pieces = pre_tokenizers.BertPreTokenizer().pre_tokenize_str(f"a{character}a")
    return {1: NORMAL, 2: SPACE, 3: ALONE}[len(pieces)]


def combining_ranks() -> dict[str, int]:
    """The marks that survive the stripping and are reordered, by rank of their combining class."""
    nfd, strip = normalizers.NFD().normalize_str, normalize(False, True)
    low, high = "\u0334", "\u0345"  # the lowest class and the highest
    marks = [
        mark
        for mark in map(chr, _scalars())
        if strip(mark) == mark
        and (nfd(f"a{mark}{low}")[1] != mark or nfd(f"a{high}{mark}")[1] != high)
    ]
    below = {mark: {x for x in marks if strip(f"a{mark}{x}") == f"a{x}{mark}" != f"a{mark}{x}"}
             for mark in marks}  # fmt: skip
    classes = sorted({len(lower) for lower in below.values()})
    return {mark: 1 + classes.index(len(lower)) for mark, lower in below.items()}


class Prober:
    """Makes cells for one way of normalizing.

    Args:
        lowercase: as BERT's normalizer takes it.
        strip_accents: as BERT's normalizer takes it, but never None.
        ranks: what `combining_ranks` gives; nothing is reordered unless accents are stripped.
    """

    def __init__(self, lowercase: bool, strip_accents: bool, ranks: dict[str, int]):
        self._plain = normalize(lowercase, strip_accents)
        self._chinese = normalize(lowercase, strip_accents, chinese=True)
        self._strip_accents = strip_accents
        self._ranks = ranks if strip_accents else {}
        self._low = min(ranks, key=ranks.__getitem__)
        self._high = max(ranks, key=ranks.__getitem__)

    def cells(self, character: str) -> list[int]:
        """What a character becomes: one cell for each character that comes out, or a deleted one.

        The lowest bits are the code point itself.

        Raises:
            ValueError: the library does what a cell cannot say.
        """
        out = self._plain(character)
        common = self._starts(character) * STARTS
        if self._chinese(character) != out:
            if len(out) != 1 or self._chinese(character) != f" {out} ":
                raise ValueError(f"Unforeseen spacing. Received: {character!r}")
            common |= CHINESE
        ranks = [self._ranks.get(x, 0) for x in out]
        if ranks != sorted(ranks) or max(ranks, default=0) > 31:
            raise ValueError(f"Unforeseen combining classes. Received: {character!r}, {ranks}")
        cells = [
            ord(x) | kind(x) << KIND_SHIFT | rank << RANK_SHIFT
            for x, rank in zip(out, ranks, strict=True)
        ] or [DELETED << KIND_SHIFT]
        cells[0] |= common
        return cells

    def _starts(self, character: str) -> bool:
        """Whether marks before the character stay apart from marks after it."""
        if not self._strip_accents:
            return False
        low, high = self._low, self._high
        return self._plain(f"a{high}{character}{low}").startswith(f"a{high}")


def probe(lowercase: bool, strip_accents: bool, ranks: dict[str, int]) -> dict[str, np.ndarray]:
    """All code points: the two stages of the table, and the expansions with where each ends."""
    prober = Prober(lowercase, strip_accents, ranks)
    # Surrogates never come out of decoding; any value will do.
    values = np.full(characters.NUM_CODE_POINTS, DELETED << KIND_SHIFT, np.int32)
    expansions: list[Sequence[int]] = []
    for code_point in _scalars():
        cells = prober.cells(chr(code_point))
        if len(cells) == 1:
            difference = (cells[0] - code_point if _is_kept(cells[0]) else 0) & CODE_POINT
            values[code_point] = difference | cells[0] & ~CODE_POINT
        else:
            values[code_point] = len(expansions) | EXPANDS
            expansions.append(cells)
    places, cells_of_pages = characters.fold(values)
    return {
        "places": places,
        "cells": cells_of_pages,
        "expansions": np.asarray([cell for cells in expansions for cell in cells], np.int32),
        "ends": np.cumsum([len(cells) for cells in expansions], dtype=np.int32),
    }


def _is_kept(cell: int) -> bool:
    return cell >> KIND_SHIFT & 3 != DELETED


def name(lowercase: bool, strip_accents: bool, part: str) -> str:
    """The key of an array in the file."""
    return f"lowercase_{lowercase}_strip_{strip_accents}_{part}".lower()


def main() -> None:
    """Writes the file."""
    ranks = combining_ranks()
    arrays = {
        name(lowercase, strip_accents, part): array
        for lowercase, strip_accents in VARIANTS
        for part, array in probe(lowercase, strip_accents, ranks).items()
    }
    np.savez_compressed(PATH, allow_pickle=False, version=tokenizers.__version__, **arrays)


def _scalars() -> Iterable[int]:
    return (x for x in range(characters.NUM_CODE_POINTS) if x not in _SURROGATES)


if __name__ == "__main__":
    main()
