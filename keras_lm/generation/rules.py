"""Tokens that are forbidden or forced, by what was written before.

Rules are fixed when a graph is traced.

R rows, L places, V vocabulary, G groups of one length.
"""

import dataclasses
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.generation.penalties import counts

Tensor = Any

_NEVER = -float("inf")


@dataclasses.dataclass(frozen=True)
class Rules:
    """What no text may contain, and what each must begin or end with.

    Attributes:
        no_repeat_ngram_size: so many tokens in a row are written only once in prompt and
            continuation together; 0 is off.
        bad_words: sequences of ids. The last id of one is forbidden where the others stand just
            before it, be it in the prompt.
        suppressed_ids: never written.
        forced_first_id: the first new token, or None.
        forced_last_ids: one of these is the token with which a row reaches its `max_new_tokens`;
            empty: any.

    Raises:
        TypeError: a value is no int.
        ValueError: a value is negative, or a bad word is empty.
    """

    no_repeat_ngram_size: int = 0
    bad_words: Sequence[Sequence[int]] = ()
    suppressed_ids: Sequence[int] = ()
    forced_first_id: int | None = None
    forced_last_ids: Sequence[int] = ()

    def __post_init__(self) -> None:
        def keep(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        keep("no_repeat_ngram_size", _whole("no_repeat_ngram_size", self.no_repeat_ngram_size))
        words = tuple(_ids("bad_words", word) for word in self.bad_words)
        if not all(words):
            raise ValueError(
                f"bad_words must be sequences of at least one id. Received: {self.bad_words!r}"
            )
        keep("bad_words", words)
        keep("suppressed_ids", _ids("suppressed_ids", self.suppressed_ids))
        if self.forced_first_id is not None:
            keep("forced_first_id", _whole("forced_first_id", self.forced_first_id))
        keep("forced_last_ids", _ids("forced_last_ids", self.forced_last_ids))

    def check_vocabulary(self, vocab_size: int) -> None:
        """Checks that the ids are ids.

        Raises:
            ValueError: an id is not below `vocab_size`.
        """
        for name, ids in (
            ("bad_words", [token for word in self.bad_words for token in word]),
            ("suppressed_ids", self.suppressed_ids),
            ("forced_first_id", () if self.forced_first_id is None else (self.forced_first_id,)),
            ("forced_last_ids", self.forced_last_ids),
        ):
            outside = [token for token in ids if token >= vocab_size]
            if outside:
                raise ValueError(
                    f"{name} must be below the size of the vocabulary, {vocab_size}. "
                    f"Received: {outside[0]}"
                )


def forbid_repeated(logits: Tensor, ids: Tensor, lengths: Tensor, size: int) -> Tensor:
    """Forbids what would write `size` tokens in a row for the second time.

    Args:
        logits: float32 `(R, V)`.
        ids: int32 `(R, L)`, prompt and continuation without a gap.
        lengths: int32 `(R,)`, how many of them are written.
        size: at least 1.

    Returns:
        float32 `(R, V)`, minus infinity where forbidden.
    """
    # One place more, so that even a row shorter than `size` has a window to look at.
    ids = tf.pad(ids, [[0, 0], [0, size]], constant_values=-1)
    windows = tf.shape(ids)[1] - size + 1
    match_RW = tf.range(windows)[None] + size <= lengths[:, None]
    for place in range(size - 1):
        newest_R = _from_the_end(ids, lengths, size - 1 - place)
        match_RW &= tf.equal(ids[:, place : place + windows], newest_R[:, None])
    return _forbid(logits, ids[:, size - 1 : size - 1 + windows], match_RW)


def forbid_bad_words(
    logits: Tensor, ids: Tensor, lengths: Tensor, bad_words: Iterable[Sequence[int]]
) -> Tensor:
    """Forbids the last id of each bad word whose other ids were just written.

    Args:
        logits: float32 `(R, V)`.
        ids: int32 `(R, L)`, prompt and continuation without a gap.
        lengths: int32 `(R,)`, how many of them are written.
        bad_words: each of at least one id.

    Returns:
        float32 `(R, V)`, minus infinity where forbidden.
    """
    by_length: dict[int, list[Sequence[int]]] = {}
    for word in bad_words:
        by_length.setdefault(len(word), []).append(word)
    for length, words in sorted(by_length.items()):
        word_GX = tf.constant(words, tf.int32)
        match_RG = tf.fill([tf.shape(ids)[0], len(words)], True)
        for place in range(length - 1):
            written_R = _from_the_end(ids, lengths, length - 1 - place)
            match_RG &= tf.equal(written_R[:, None], word_GX[:, place])
        last_RG = tf.broadcast_to(word_GX[:, -1], tf.shape(match_RG))
        logits = _forbid(logits, last_RG, match_RG)
    return logits


def forbid(logits: Tensor, ids: Sequence[int], rows: Tensor | None = None) -> Tensor:
    """Forbids some tokens, in all rows or where `rows`, bool `(R,)`, is True."""
    where = _of_vocabulary(logits, ids)
    return tf.where(where if rows is None else where & rows[:, None], _NEVER, logits)


def force(logits: Tensor, ids: Sequence[int], rows: Tensor) -> Tensor:
    """Leaves only some tokens, each of logit 0, where `rows`, bool `(R,)`, is True."""
    forced_V = tf.where(_of_vocabulary(logits, ids), 0.0, _NEVER)
    return tf.where(rows[:, None], forced_V, logits)


def _of_vocabulary(logits: Tensor, ids: Sequence[int]) -> Tensor:
    where = np.zeros(logits.shape[-1], bool)
    where[list(ids)] = True
    return tf.constant(where)


def _from_the_end(ids_RL: Tensor, lengths: Tensor, back: int) -> Tensor:
    """The id that was written `back` places ago (1: the newest), -1 where there is none."""
    place_R = lengths - back
    found_R = tf.gather(ids_RL, tf.maximum(place_R, 0), batch_dims=1)
    return tf.where(place_R >= 0, found_R, -1)


def _forbid(logits: Tensor, ids_RX: Tensor, match_RX: Tensor) -> Tensor:
    return tf.where(counts(ids_RX, match_RX, logits.shape[-1]) > 0, _NEVER, logits)


def _ids(name: str, ids: Iterable[int]) -> tuple[int, ...]:
    return tuple(_whole(name, token) for token in ids)


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError(f"{name} must be made of ints. Received: {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be made of ints. Received: {value!r}") from None
    if number < 0:
        raise ValueError(f"{name} must not be negative. Received: {value!r}")
    return number
