"""Rows, or pairs of rows, to buckets, so that the rows of one batch need little padding.

R pairs, K buckets, S and T lengths of the two rows of a pair.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

# A bucket of fewer batches would leave out too much: what does not fill its last one.
_LEAST_BATCHES = 8


class Bucket(NamedTuple):
    """Pairs that are padded to the same two lengths.

    Attributes:
        batch_size: pairs of a batch.
        source_length: S, to which source rows are padded.
        target_length: T, to which target rows are padded.
        rows: numbers of the pairs, int64.
    """

    batch_size: int
    source_length: int
    target_length: int
    rows: np.ndarray


class _Cells(NamedTuple):
    """A rectangle of the table that counts the pairs by their two lengths.

    Attributes:
        begin: the lowest source and target length.
        end: behind the highest ones.
        number: pairs in it.
        corner: the longest source and target row in it; all are padded to these.
    """

    begin: tuple[int, int]
    end: tuple[int, int]
    number: int
    corner: tuple[int, int]

    @property
    def cost(self) -> int:
        return self.number * sum(self.corner)


def divide(
    source_lengths: np.ndarray,
    target_lengths: np.ndarray,
    *,
    tokens_per_batch: int,
    batch_multiple: int,
    num_buckets: int,
) -> list[Bucket]:
    """Divides pairs into buckets, again and again where that saves the most padding.

    A division parts longer source or target rows from shorter ones, and leaves eight batches at
    least on either side. A batch holds as many pairs as the longer of its two lengths allows:
    `tokens_per_batch` tokens at most on either side, padding included.

    Args:
        source_lengths: int64 `(R,)`, positive.
        target_lengths: int64 `(R,)`, positive.
        tokens_per_batch: tokens on either side of a batch.
        batch_multiple: every batch size is a multiple of it.
        num_buckets: K at most.

    Returns:
        The buckets, the shortest rows first; in each bucket pairs are as they stood.

    Raises:
        ValueError: a batch cannot hold `batch_multiple` pairs of the longest row.
    """
    longest = max(int(source_lengths.max()), int(target_lengths.max()))
    if tokens_per_batch // longest < batch_multiple:
        raise ValueError(
            "tokens_per_batch must hold as many of the longest rows as batch_multiple says. "
            f"Received: tokens_per_batch={tokens_per_batch}, batch_multiple={batch_multiple}, "
            f"a row of {longest} tokens"
        )

    def batch_size(length: Any) -> Any:
        return tokens_per_batch // length // batch_multiple * batch_multiple

    return _divide(source_lengths, target_lengths, batch_size, num_buckets)


def divide_rows(lengths: np.ndarray, *, batch_size: int, num_buckets: int) -> list[Bucket]:
    """Divides rows into buckets as `divide`, with as many rows in every batch.

    Args:
        lengths: int64 `(R,)`, positive.
        batch_size: of every bucket.
        num_buckets: K at most.

    Returns:
        The buckets, the shortest rows first; their `target_length` is 0.
    """
    return _divide(lengths, np.zeros_like(lengths), lambda length: batch_size, num_buckets)


def _divide(
    source_lengths: np.ndarray,
    target_lengths: np.ndarray,
    batch_size: Callable[[Any], Any],
    num_buckets: int,
) -> list[Bucket]:
    def enough(number: np.ndarray, length: np.ndarray) -> np.ndarray:
        return number >= _LEAST_BATCHES * batch_size(np.maximum(length, 1))

    counts = np.zeros((int(source_lengths.max()) + 1, int(target_lengths.max()) + 1), np.int64)
    np.add.at(counts, (source_lengths, target_lengths), 1)
    whole = _cells(counts, (0, 0), counts.shape)
    divisions = {whole: _best_division(counts, whole, enough)}
    while len(divisions) < num_buckets:
        cells = max(divisions, key=lambda cells: divisions[cells][0])
        gain, parts = divisions.pop(cells)
        if not gain:
            divisions[cells] = gain, parts
            break
        divisions.update((part, _best_division(counts, part, enough)) for part in parts)

    buckets = sorted(divisions, key=lambda cells: (max(cells.corner), cells.corner))
    bucket_of = np.empty(counts.shape, np.int64)
    for k, cells in enumerate(buckets):
        bucket_of[_window(cells)] = k
    bucket_R = bucket_of[source_lengths, target_lengths]
    order_R = np.argsort(bucket_R, kind="stable")
    edges = np.searchsorted(bucket_R[order_R], np.arange(len(buckets) + 1))
    return [
        Bucket(int(batch_size(max(cells.corner))), *cells.corner, order_R[edges[k] : edges[k + 1]])
        for k, cells in enumerate(buckets)
    ]


def _best_division(
    counts: np.ndarray, cells: _Cells, enough: Any
) -> tuple[int, tuple[_Cells, ...]]:
    """The padding that the best division saves, and its two parts; 0 where there is none."""
    best: tuple[int, tuple[_Cells, ...]] = 0, ()
    for axis in (0, 1):
        table = np.moveaxis(counts[_window(cells)], axis, 0)
        number = table.sum(1)
        length = np.where(number > 0, np.arange(len(table)) + cells.begin[axis], 0)
        # The longest row on the other axis: where the reversed table has its first pair.
        other = cells.end[1 - axis] - 1 - np.argmax(table[:, ::-1] > 0, 1)
        other = np.where(number > 0, other, 0)
        # Part i ends behind length i.
        low = np.cumsum(number)[:-1]
        low_corner = np.maximum.accumulate(length)[:-1], np.maximum.accumulate(other)[:-1]
        high = cells.number - low
        high_corner = cells.corner[axis], np.maximum.accumulate(other[::-1])[::-1][1:]
        saved = cells.cost - low * sum(low_corner) - high * sum(high_corner)
        allowed = enough(low, np.maximum(*low_corner)) & enough(high, np.maximum(*high_corner))
        saved = np.where(allowed, saved, 0)
        if saved.size and saved.max() > best[0]:
            middle = cells.begin[axis] + int(saved.argmax()) + 1
            end, begin = list(cells.end), list(cells.begin)
            end[axis] = begin[axis] = middle
            parts = (
                _cells(counts, cells.begin, tuple(end)),
                _cells(counts, tuple(begin), cells.end),
            )
            best = int(saved.max()), parts
    return best


def _cells(counts: np.ndarray, begin: Any, end: Any) -> _Cells:
    table = counts[begin[0] : end[0], begin[1] : end[1]]
    source, target = np.nonzero(table)
    corner = begin[0] + int(source.max()), begin[1] + int(target.max())
    return _Cells(begin, end, int(table.sum()), corner)


def _window(cells: _Cells) -> tuple[slice, slice]:
    return slice(cells.begin[0], cells.end[0]), slice(cells.begin[1], cells.end[1])
