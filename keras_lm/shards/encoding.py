"""Documents to the records of a shard.

Records come in pairs, a block of whole documents each. The first holds the ids of their texts, with
the end token behind each document. The second holds how many ids each text has, int32, and 0 behind
each document. Numbers are little-endian. All blocks of a shard but the last have `BLOCK` ids at
least. (A record a text takes about twice as long to read.)

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

BLOCK = 16_384

_DOCUMENTS_AT_ONCE = 256


@dataclasses.dataclass(frozen=True)
class Encoding:
    """All that the records of documents depend on.

    Attributes:
        tokenizer: `tokenizers.Tokenizer.to_str()`.
        parse_special_tokens: whether a literal "[SEP]" in a text is the special token.
        vocab_size: V.
        end_id: of the token behind each document.
        objective: "masked_lm": each line is a text. "causal_lm": each document is one.
        mask_personal: see `personal_data`.
    """

    tokenizer: str
    parse_special_tokens: bool
    vocab_size: int
    end_id: int
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
        records: a list of bytes, an even number.
        statistics: see there.
        ids: ids that occur in texts, ascending, int64.
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
    blocks = _Blocks(encoding)
    waiting = iter(documents)
    while chunk := list(itertools.islice(waiting, _DOCUMENTS_AT_ONCE)):
        prepared = [_texts(lines, encoding, statistics) for lines in chunk]
        flat = list(itertools.chain.from_iterable(prepared))
        encoded = iter(host.encode_batch_fast(flat, add_special_tokens=False))
        for texts in prepared:
            document = [one.ids for one in itertools.islice(encoded, len(texts))]
            document = [ids for ids in document if ids]
            if document:
                blocks.add(document)
                statistics.documents += 1
                statistics.texts += len(document)
    blocks.close()
    statistics.tokens = int(blocks.counts_V.sum())
    found = np.flatnonzero(blocks.counts_V)
    return Encoded(blocks.records, statistics, found, blocks.counts_V[found])


class _Blocks:
    """Makes records of documents.

    Attributes:
        records: of the blocks that are closed.
        counts_V: how often each id stands in them, ends of documents not counted.
    """

    def __init__(self, encoding: Encoding):
        self._dtype = np.dtype(encoding.dtype).newbyteorder("<")
        self._end_id = encoding.end_id
        self.records: list[bytes] = []
        self.counts_V = np.zeros(encoding.vocab_size, np.int64)
        self._ids: list[int] = []
        self._lengths: list[int] = []
        self._documents = 0

    def add(self, document: list[list[int]]) -> None:
        for ids in document:
            self._ids += ids
            self._lengths.append(len(ids))
        self._ids.append(self._end_id)
        self._lengths.append(0)
        self._documents += 1
        if len(self._ids) >= BLOCK:
            self.close()

    def close(self) -> None:
        if not self._ids:
            return
        ids = np.array(self._ids, self._dtype)
        self.counts_V += np.bincount(ids, minlength=len(self.counts_V))
        self.counts_V[self._end_id] -= self._documents
        self.records += [ids.tobytes(), np.array(self._lengths, "<i4").tobytes()]
        self._ids, self._lengths, self._documents = [], [], 0


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
