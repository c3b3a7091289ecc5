"""Documents to ids: tokenized once, on the host, into flat arrays.

N tokens, U texts, D documents.
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from keras_lm.tokenizers.tokenizer import Tokenizer

_CHARACTERS_AT_ONCE = 4_000_000  # bounds the memory of the lists between the library and NumPy


class Corpus(NamedTuple):
    """The ids of all documents.

    Attributes:
        ids: `(N,)`, uint16 where the vocabulary allows it, or else int32.
        texts: int64 `(U + 1,)`, where each text begins in `ids`; N at the end.
        documents: int64 `(D + 1,)`, where each document begins in `texts`; U at the end.
    """

    ids: np.ndarray
    texts: np.ndarray
    documents: np.ndarray


def encode(
    documents: Iterable[list[str]], tokenizer: Tokenizer, *, end_id: int | None = None
) -> Corpus:
    """Tokenizes documents with the library's threads.

    Texts that give no token are left out, and so are documents without a text.

    Args:
        documents: lists of texts.
        tokenizer: its `encode_batch` is used; it adds no special tokens.
        end_id: an id to put behind the last text of each document, or None.

    Raises:
        ValueError: there is no token at all.
    """
    dtype = np.uint16 if tokenizer.vocab_size <= 2**16 else np.int32
    ids, lengths, counts = [], [], []
    for chunk in _chunks(documents):
        texts = iter(tokenizer.encode_batch(list(itertools.chain.from_iterable(chunk))))
        kept: list[list[int]] = []
        for document in chunk:
            before = len(kept)
            kept.extend(text for text in itertools.islice(texts, len(document)) if text)
            if len(kept) == before:
                continue
            if end_id is not None:
                kept[-1].append(end_id)
            counts.append(len(kept) - before)
        lengths.append(np.fromiter(map(len, kept), np.int64, len(kept)))
        flat = itertools.chain.from_iterable(kept)
        ids.append(np.fromiter(flat, dtype, int(lengths[-1].sum())))
    if not counts:
        raise ValueError("The text must hold at least one token. Received: an empty corpus")
    return Corpus(np.concatenate(ids), _starts(np.concatenate(lengths)), _starts(counts))


def _starts(lengths: np.ndarray | list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _chunks(documents: Iterable[list[str]]) -> Iterator[list[list[str]]]:
    chunk, characters = [], 0
    for document in documents:
        chunk.append(document)
        characters += sum(map(len, document))
        if characters >= _CHARACTERS_AT_ONCE:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk
