"""Byte-pair merges in the graph: many merges at a time, with the result of one at a time.

The algorithm (Sennrich et al. 2016, arXiv:1508.07909, as the `tokenizers` library runs it): while
any neighbours of a word form a merge, merge those of the least rank, the leftmost first.

A merge (a, b) of rank r need not wait for its turn under two conditions.

First, nobody takes a or b away before it. Two things can: a merge (u, a) where u is the symbol x on
the left or grows to end in x, or a merge (b, v) where v is or grows from the symbol on the right.
Every merge that is made earlier has at most rank r. So with, for each pair of neighbours (x, a) at
position j,

    rank(x, a)    the rank of merging the two themselves,
    left(x, a)    the least rank of any merge (u, a) where u is longer than x and ends in x,

taking a away needs at some point a merge whose rank is at least

    threat[j] = min(rank[j], max(left[j], threat[j - 1])),

for u is either x itself, or x is first taken by its own left neighbour. Nobody takes a when
threat > r on the left and, by symmetry, nobody takes b when threat >= r on the right (of equal
ranks the left one goes first). The recursion is cut at a fixed depth by `min(rank[j], left[j])`,
which only makes it careful.

Second, what it makes does no harm before its time: no merge that uses the result ranks before r.
In GPT-2's vocabulary no merge does; where two merges make one token, the later one often does.

In a run such as "aaaaaa" all pairs have one rank, and the first, the third and so on are merged if
the first is. Where these rules stop the merges of all words, one round makes the leftmost least
merge of each word, the plain algorithm; so any vocabulary is merged rightly.

N symbols of all words, one SEPARATOR after each word; P = N - 1 pairs; M merges.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_lm.tokenizers.byte_pair_index import KeyIndex
from keras_lm.tokenizers.constants import constant

Tensor = Any

_NEVER = np.iinfo(np.int32).max
_DEPTH = 2  # of the recursion


class Pairs(NamedTuple):
    """What is known of pairs of neighbours, `(P,)` each in the graph, `(K + 1,)` as tables.

    Attributes:
        rank: of their merge, `_NEVER` where there is none.
        left: the least rank of a merge that takes the second symbol once the first has grown.
        right: the least rank of a merge that takes the first symbol once the second has grown.
        symbol: what their merge makes.
    """

    rank: Any
    left: Any
    right: Any
    symbol: Any


class MergeLoop:
    """Merges the symbols of words.

    Args:
        merges: int64 `(M, 3)`, for each merge its left part, right part and result, in order of
            rank; no two of the same parts.
        num_symbols: V; symbols are `0 .. V - 1`.

    Attributes:
        separator: the symbol that stands after each word, V.
        margin: how many separators stand before the first word, and at least behind the last.
    """

    margin = _DEPTH + 2

    def __init__(self, merges: np.ndarray, num_symbols: int):
        self.separator = num_symbols
        # One verdict for each merge, and one for the pairs that do not merge.
        self._harmless = np.append(harmless(merges, num_symbols), True)
        keys, pairs = pair_table(merges, num_symbols)
        self._index = KeyIndex(keys, (num_symbols + 1) ** 2)
        self._pairs = Pairs(*map(constant, pairs))

    def __call__(self, symbol_N: Tensor) -> Tensor:
        """Merges until nothing is left to merge.

        Args:
            symbol_N: int64: `margin` separators, each word and a separator, `margin` separators.

        Returns:
            The same with fewer symbols.
        """
        symbol_N, _ = tf.while_loop(
            lambda _, more: more,
            lambda symbol_N, _: self._round(symbol_N),
            (symbol_N, tf.constant(True)),
            shape_invariants=(tf.TensorShape([None]), tf.TensorShape([])),
        )
        return symbol_N

    def _round(self, symbol_N: Tensor) -> tuple[Tensor, Tensor]:
        """Makes all merges that are safe; also says whether there was any."""
        first_P, second_P = symbol_N[:-1], symbol_N[1:]
        place_P = self._index(first_P * (self.separator + 1) + second_P)
        rank_P, left_P, right_P = (tf.gather(table, place_P) for table in self._pairs[:3])

        before = tf.minimum(rank_P, left_P)
        after = tf.minimum(rank_P, right_P)
        for step in range(1, _DEPTH + 1):
            # Shorter by one pair each: `before` loses its head, `after` its tail.
            before = tf.minimum(rank_P[step:], tf.maximum(left_P[step:], before[:-1]))
            after = tf.minimum(rank_P[:-step], tf.maximum(right_P[:-step], after[1:]))
        # The pairs between the margins, and of each the threats on its left and right.
        inner = slice(_DEPTH + 1, -_DEPTH - 1)
        rank_P, place_P = rank_P[inner], place_P[inner]
        before, after = before[: -_DEPTH - 2], after[_DEPTH + 2 :]
        merge_P = (before > rank_P) & (after >= rank_P)

        if not self._harmless.all():
            merge_P &= tf.gather(self._harmless, tf.minimum(rank_P, len(self._harmless) - 1))

        repeat_P = (rank_P == tf.concat([[-1], rank_P[:-1]], 0)) & (rank_P < _NEVER)
        merge_P = tf.cond(
            tf.reduce_any(repeat_P),
            lambda: _alternate(merge_P, repeat_P, after >= rank_P),
            lambda: merge_P,
        )
        stuck = ~tf.reduce_any(merge_P) & tf.reduce_any(rank_P < _NEVER)
        merge_P = tf.cond(
            stuck,
            lambda: _leftmost_least(rank_P, symbol_N[_DEPTH + 1 : -_DEPTH - 2] == self.separator),
            lambda: merge_P,
        )

        made_P = tf.cast(tf.gather(self._pairs.symbol, place_P), tf.int64)
        head, tail = symbol_N[: _DEPTH + 1], symbol_N[-_DEPTH - 2 :]
        inside = symbol_N[_DEPTH + 1 : -_DEPTH - 2]
        symbol_N = tf.concat([head, tf.where(merge_P, made_P, inside), tail], 0)
        keep_N = tf.pad(~merge_P, [[_DEPTH + 2, _DEPTH + 1]], constant_values=True)
        return tf.gather(symbol_N, tf.where(keep_N)[:, 0]), tf.reduce_any(merge_P)


def _alternate(merge_P: Tensor, repeat_P: Tensor, right_P: Tensor) -> Tensor:
    """Adds every second pair of each run of one rank whose first pair is merged.

    Args:
        merge_P: the merges that are safe.
        repeat_P: True where a pair has the rank of the pair before it.
        right_P: whether a pair is safe on its right.
    """
    begin_R = tf.where(~repeat_P)[:, 0]
    run_P = tf.cumsum(tf.cast(~repeat_P, tf.int32)) - 1
    begin_P = tf.gather(begin_R, run_P)
    even_P = (tf.range(tf.size(begin_P, tf.int64)) - begin_P) % 2 == 0
    return merge_P | (repeat_P & even_P & right_P & tf.gather(merge_P, begin_P))


def _leftmost_least(rank_P: Tensor, separator_P: Tensor) -> Tensor:
    """The leftmost of the pairs of least rank, in each word that has one."""
    word_P = tf.cumsum(tf.cast(separator_P, tf.int32))
    num_words = word_P[-1] + 1
    least_P = tf.gather(tf.math.unsorted_segment_min(rank_P, word_P, num_words), word_P)
    position_P = tf.range(tf.size(rank_P))
    candidate_P = tf.where((rank_P == least_P) & (rank_P < _NEVER), position_P, _NEVER)
    leftmost = tf.math.unsorted_segment_min(candidate_P, word_P, num_words)
    return position_P == tf.gather(leftmost, word_P)


def harmless(merges: np.ndarray, num_symbols: int) -> np.ndarray:
    """Of each merge, whether all merges that use its result rank after it; bool `(M,)`."""
    rank = np.arange(len(merges))
    used = np.full(num_symbols, len(merges))
    for part in (0, 1):
        np.minimum.at(used, merges[:, part], rank)
    return used[merges[:, 2]] > rank


def pair_table(merges: np.ndarray, num_symbols: int) -> tuple[np.ndarray, Pairs]:
    """All pairs of symbols that merge, or from which a grown neighbour takes a symbol away.

    Returns:
        int64 `(K,)` keys, `first * (V + 1) + second`, and their `Pairs`, each int32 `(K + 1,)`; the
        last stands for all other pairs.
    """
    rank = np.arange(len(merges), dtype=np.int64)
    first, second, made = merges.T
    base = num_symbols + 1
    # (u, a) takes a away wherever u ends in x: the pair is (x, a).
    end, of = _ends(first, made, second)
    left = end * base + second[of], of
    # (b, v) takes b away wherever v begins with y: the pair is (b, y).
    begin, of = _ends(second, made, first)
    right = first[of] * base + begin, of
    columns = ((first * base + second, rank), left, right)

    # What np.unique gives, without the hashing that it does first.
    keys = np.sort(np.concatenate([key for key, _ in columns]))
    keys = keys[np.diff(keys, prepend=-1) > 0]
    table = np.full((4, len(keys) + 1), _NEVER, np.int32)
    for row, (key, ranks) in zip(table, columns, strict=False):
        np.minimum.at(row, np.searchsorted(keys, key), ranks.astype(np.int32))
    table[3, np.searchsorted(keys, columns[0][0])] = made
    return keys, Pairs(*table)


def _ends(token: np.ndarray, made: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The parts at one end of each token, the parts of those, and so on down to bytes.

    Args:
        token: `(M,)`.
        made: `(M,)`, what each merge makes.
        part: `(M,)`, its part at that end.

    Returns:
        The parts, and for each the index of its token.
    """
    order = np.argsort(made, kind="stable")
    sorted_made = made[order]
    of = np.arange(len(token))
    parts, indices = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    while len(token):
        # All merges that make each token; most often there is one.
        begin = np.searchsorted(sorted_made, token, "left")
        count = np.searchsorted(sorted_made, token, "right") - begin
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        token = part[order[np.repeat(begin, count) + within]]
        of = np.repeat(of, count)
        parts.append(token)
        indices.append(of)
    return np.concatenate(parts), np.concatenate(indices)
