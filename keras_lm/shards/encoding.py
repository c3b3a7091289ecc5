"""Documents to the records of a shard.

A record is a text, its ids as little-endian numbers; an empty record ends a document.

V vocabulary.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import tokenizers

from keras_lm.shards import personal_data

# What a text is. Masked LM reads lines, so that pairs can be made of them; causal LM documents with
# all that stands between their lines.
OBJECTIVES = ("masked_lm", "causal_lm")

_DOCUMENTS_AT_ONCE = 256


@dataclasses.dataclass(frozen=True)
class Encoding:
    """All that the records of documents depend on.

    Attributes:
        tokenizer: `tokenizers.Tokenizer.to_str()`.
        parse_special_tokens: whether a literal "[SEP]" in a text is the special token.
        vocab_size: V.
        objective: "masked_lm": each line is a text. "causal_lm": each document is one.
        mask_personal: see `personal_data`.
    """

    tokenizer: str
    parse_special_tokens: bool
    vocab_size: int
    objective: str
    mask_personal: bool = False

    @property
    def dtype(self) -> str:
        """Of the ids: "uint16" where the vocabulary allows it, or else "int32"."""
        return "uint16" if self.vocab_size <= 2**16 else "int32"


@dataclasses.dataclass
class Statistics:
    """What was counted. Documents are those that have a token."""

    documents: int = 0
    texts: int = 0
    tokens: int = 0
    characters: int = 0
    emails: int = 0
    cards: int = 0
    phones: int = 0

    def __add__(self, other: "Statistics") -> "Statistics":
        """The sums."""
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Statistics(*(a + b for a, b in pairs))


@dataclasses.dataclass
class Encoded:
    """The records of documents.

    Attributes:
        records: a list of bytes.
        statistics: see there.
        ids: ids that occur, ascending, int64.
        counts: how often, int64.
    """

    records: list[bytes]
    statistics: Statistics
    ids: np.ndarray
    counts: np.ndarray


def texts_of(lines: Sequence[str], objective: str) -> list[str]:
    """The texts of a document."""
    if objective == "causal_lm":
        return ["\n".join(lines)]
    # Where a tokenizer keeps whitespace, words at the edges of lines would grow together.
    return [lines[0], *(f" {line}" for line in lines[1:])]


def encode(documents: Iterable[Sequence[str]], encoding: Encoding) -> Encoded:
    """Tokenizes documents.

    Texts that give no token are left out, and so are documents without a text.

    Args:
        documents: lists of lines, one line at least.
        encoding: see there.
    """
    host = _host(encoding.tokenizer)
    host.encode_special_tokens = not encoding.parse_special_tokens
    statistics = Statistics()
    records: list[bytes] = []
    parts: list[np.ndarray] = []
    dtype = np.dtype(encoding.dtype).newbyteorder("<")
    waiting = iter(documents)
    while chunk := list(itertools.islice(waiting, _DOCUMENTS_AT_ONCE)):
        prepared = [_texts(lines, encoding, statistics) for lines in chunk]
        flat = list(itertools.chain.from_iterable(prepared))
        encoded = iter(host.encode_batch_fast(flat, add_special_tokens=False))
        for texts in prepared:
            before = len(records)
            for one in itertools.islice(encoded, len(texts)):
                ids = np.array(one.ids, dtype)
                if len(ids):
                    records.append(ids.tobytes())
                    parts.append(ids)
            if len(records) > before:
                statistics.documents += 1
                statistics.texts += len(records) - before
                records.append(b"")
    ids = np.concatenate(parts) if parts else np.zeros(0, dtype)
    statistics.tokens = len(ids)
    counts = np.bincount(ids, minlength=1)
    found = np.flatnonzero(counts)
    return Encoded(records, statistics, found, counts[found])


def _texts(lines: Sequence[str], encoding: Encoding, statistics: Statistics) -> list[str]:
    texts = texts_of(lines, encoding.objective)
    statistics.characters += sum(map(len, texts))
    if not encoding.mask_personal:
        return texts
    masked = [personal_data.mask(text) for text in texts]
    statistics.emails += sum(found.emails for _, found in masked)
    statistics.cards += sum(found.cards for _, found in masked)
    statistics.phones += sum(found.phones for _, found in masked)
    return [text for text, _ in masked]


@functools.lru_cache(maxsize=1)
def _host(tokenizer: str) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_str(tokenizer)
