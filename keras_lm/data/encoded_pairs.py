"""Pairs of texts to ids: tokenized once, on the host, into flat arrays.

N tokens, R pairs.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from keras_lm.data.parallel_text import Pair, empty
from keras_lm.tokenizers.tokenizer import Tokenizer

_CHARACTERS_AT_ONCE = 4_000_000  # bounds the memory of the lists between the library and NumPy


class Form(NamedTuple):
    """How the rows of one side look.

    Attributes:
        tokenizer: makes the ids of a text.
        before: ids in front of them.
        behind: ids behind them.
        max_length: tokens of a row at most, the ids around the text included.
    """

    tokenizer: Tokenizer
    before: Sequence[int]
    behind: Sequence[int]
    max_length: int


class Side(NamedTuple):
    """The rows of one side, one behind the other.

    Attributes:
        ids: `(N,)`, uint16 where the vocabulary allows it, or else int32.
        starts: int64 `(R,)`, where each row begins.
        lengths: int64 `(R,)`.
    """

    ids: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray


def encode_pairs(
    pairs: Iterable[Pair], source: Form, target: Form, *, cut: bool
) -> tuple[Side, Side, list[str]]:
    """Tokenizes pairs with the library's threads.

    Args:
        pairs: see `parallel_text.open_pairs`.
        source: the form of the rows of source texts.
        target: of target texts.
        cut: whether texts that are too long lose their end. Otherwise their pairs are left out.

    Returns:
        Source rows, target rows, and the places of the pairs that were too long.

    Raises:
        ValueError: a text that gives no token, or no pair that fits.
    """
    forms = (source, target)
    rooms = [form.max_length - len(form.before) - len(form.behind) for form in forms]
    flat: list[list[np.ndarray]] = [[], []]
    lengths: list[list[int]] = [[], []]
    too_long: list[str] = []
    longest = 0
    for chunk in _chunks(pairs):
        batches = (
            source.tokenizer.encode_batch([pair.source for pair in chunk]),
            target.tokenizer.encode_batch([pair.target for pair in chunk]),
        )
        rows: list[list[int]] = [[], []]
        for pair, *texts in zip(chunk, *batches, strict=True):
            for name, text in zip(("source", "target"), texts, strict=True):
                if not text:
                    raise empty(pair, f"a {name} without one")
            if any(len(text) > room for text, room in zip(texts, rooms, strict=True)):
                too_long.append(pair.place)
                longest = max(longest, *map(len, texts))
                if not cut:
                    continue
            for side, (form, text, room) in enumerate(zip(forms, texts, rooms, strict=True)):
                before = len(rows[side])
                rows[side].extend(itertools.chain(form.before, text[:room], form.behind))
                lengths[side].append(len(rows[side]) - before)
        for side, form in enumerate(forms):
            dtype = np.uint16 if form.tokenizer.vocab_size <= 2**16 else np.int32
            flat[side].append(np.array(rows[side], dtype))
    if not lengths[0]:
        raise ValueError(
            "At least one pair must fit into max_source_length and max_target_length. Received: "
            + (f"{len(too_long)} pairs, of up to {longest} tokens" if too_long else "no pair")
        )
    sides = []
    for ids, own in zip(flat, lengths, strict=True):
        length_R = np.array(own, np.int64)
        sides.append(Side(np.concatenate(ids), np.cumsum(length_R) - length_R, length_R))
    return sides[0], sides[1], too_long


def _chunks(pairs: Iterable[Pair]) -> Iterator[list[Pair]]:
    chunk, characters = [], 0
    for pair in pairs:
        chunk.append(pair)
        characters += len(pair.source) + len(pair.target)
        if characters >= _CHARACTERS_AT_ONCE:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk
