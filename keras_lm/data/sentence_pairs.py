"""Pairs for next-sentence prediction (Devlin et al. 2019, arXiv:1810.04805, section 3.1).

As in BERT's own data, a row is a run of whole texts of one document; it is divided between two
texts, and in half of the cases its second part gives way to a run of about the same length from
another document. Unlike there, nothing is written once and for all: the place of the division, the
label and the other document are drawn anew each time a row is seen.

N tokens, U units (texts, or pieces of long ones), R rows, D documents, B batch.
"""

import itertools
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_lm.data.corpus import Corpus
from keras_lm.data.rows import word_start

Tensor = Any


class PairRows(NamedTuple):
    """Rows of at least two units each. All int64.

    Attributes:
        units: `(U + 1,)`, where each unit begins in the ids; N at the end.
        start: `(R,)`, the first unit of a row.
        end: `(R,)`, behind the last unit of a row.
        document_end: `(R,)`, behind the last unit of a row's document.
        first_row: `(R,)`, the first row of a row's document.
        end_row: `(R,)`, behind the last row of a row's document.
    """

    units: np.ndarray
    start: np.ndarray
    end: np.ndarray
    document_end: np.ndarray
    first_row: np.ndarray
    end_row: np.ndarray


def pair_rows(corpus: Corpus, capacity: int, continues: np.ndarray | None) -> PairRows:
    """Fills rows with whole texts of one document, as many as go in.

    A text of more than half a row is cut into pieces of that length. A row that would hold a single
    text or piece has it divided in the middle; a single token makes no row. Cuts divide no word
    where that can be.

    Args:
        corpus: the documents.
        capacity: tokens of a row, without special tokens; at least 2.
        continues: see `rows.word_start`.

    Raises:
        ValueError: fewer than two documents have a row, so no pair can be random.
    """
    ids = corpus.ids
    units: list[int] = []
    rows: list[tuple[int, int, int]] = []  # first unit, behind the last unit, document
    ends: list[int] = []
    for document, (first, end) in enumerate(
        zip(corpus.documents[:-1].tolist(), corpus.documents[1:].tolist(), strict=True)
    ):
        texts = corpus.texts[first : end + 1].tolist()
        row = len(units)
        for start, stop in itertools.pairwise(texts):
            while start < stop:
                piece = stop
                if stop - start > capacity // 2:
                    piece = word_start(ids, continues, start, start + capacity // 2)
                if len(units) > row and piece - units[row] > capacity:
                    row = _close(rows, units, row, start, document, ids, continues)
                units.append(start)
                start = piece
        _close(rows, units, row, texts[-1], document, ids, continues)
        ends.append(len(units))
    documents = np.array([row[2] for row in rows], np.int64)
    if len(np.unique(documents)) < 2:
        raise ValueError(
            "next_sentence=True needs at least two documents of two tokens or more, so that a "
            "random sentence can come from another one; see `document` for what ends a document. "
            f"Received: {len(np.unique(documents))} such documents"
        )
    return PairRows(
        units=np.array([*units, len(ids)], np.int64),
        start=np.array([row[0] for row in rows], np.int64),
        end=np.array([row[1] for row in rows], np.int64),
        document_end=np.array(ends, np.int64)[documents],
        first_row=np.searchsorted(documents, documents, "left"),
        end_row=np.searchsorted(documents, documents, "right"),
    )


def _close(
    rows: list[tuple[int, int, int]],
    units: list[int],
    row: int,
    end: int,
    document: int,
    ids: np.ndarray,
    continues: np.ndarray | None,
) -> int:
    """Ends the row that began with unit `row` at token `end`; gives the next row's first unit."""
    if len(units) == row + 1 and end - units[row] >= 2:
        middle = units[row] + (end - units[row]) // 2
        units.append(word_start(ids, continues, units[row], middle))
    if len(units) >= row + 2:
        rows.append((row, len(units), document))
    return len(units)


def draw_pairs(
    rows: PairRows, row: Tensor, capacity: int, seed: Tensor
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], Tensor]:
    """Divides rows, and replaces half of the second parts.

    The replacement is a run of whole units from any unit of another document's row on, of about the
    length that it replaces, so that the length of a pair says little about its label.

    Args:
        rows: the rows' table, as tensors.
        row: which rows, int64 `(B,)`.
        capacity: tokens of a row, without special tokens.
        seed: int64 `(2,)`.

    Returns:
        The first and the second spans (start int64 `(B,)`, length int64 `(B,)`), and the labels
        int32 `(B,)`: 0 = the second span follows the first, 1 = it is from another document.
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 4, alg="philox"))
    start_B, end_B = tf.gather(rows.start, row), tf.gather(rows.end, row)
    split_B = start_B + 1 + _below(end_B - start_B - 1, seeds[0])
    first_B, next_B, stop_B = (tf.gather(rows.units, unit) for unit in (start_B, split_B, end_B))
    random_B = tf.random.stateless_uniform(tf.shape(row), seeds[1], alg="philox") < 0.5

    # Another row: any that is not of this document, whose rows stand together.
    before_B, behind_B = tf.gather(rows.first_row, row), tf.gather(rows.end_row, row)
    own_B = behind_B - before_B
    other_B = _below(tf.shape(rows.start, tf.int64)[0] - own_B, seeds[2])
    other_B = tf.where(other_B < before_B, other_B, other_B + own_B)
    unit_B, last_B = tf.gather(rows.start, other_B), tf.gather(rows.document_end, other_B)
    unit_B += _below(tf.gather(rows.end, other_B) - unit_B, seeds[3])

    # It ends at the unit's border that lies nearest to the length it should have.
    other_start_B = tf.gather(rows.units, unit_B)
    aim_B = other_start_B + stop_B - next_B
    low_unit_B = tf.searchsorted(rows.units, aim_B, "right", out_type=tf.int64) - 1
    low_unit_B = tf.minimum(low_unit_B, last_B)
    low_B = tf.gather(rows.units, low_unit_B)
    high_B = tf.gather(rows.units, tf.minimum(low_unit_B + 1, last_B))
    room_B = other_start_B + capacity - (next_B - first_B)
    high_is_nearer_B = (high_B - aim_B < aim_B - low_B) | (low_B <= other_start_B)
    other_end_B = tf.where(high_is_nearer_B & (high_B <= room_B), high_B, low_B)
    # The first unit alone is longer than the room: it is cut.
    other_end_B = tf.where(other_end_B > other_start_B, other_end_B, aim_B)

    second_B = tf.where(random_B, other_start_B, next_B)
    second_end_B = tf.where(random_B, other_end_B, stop_B)
    return (
        (first_B, next_B - first_B),
        (second_B, second_end_B - second_B),
        tf.cast(random_B, tf.int32),
    )


def _below(bound: Tensor, seed: Tensor) -> Tensor:
    """Integers drawn uniformly from `0 .. bound - 1`, element by element; int64 `(B,)`."""
    draw_B = tf.random.stateless_uniform(tf.shape(bound), seed, dtype=tf.float64, alg="philox")
    return tf.minimum(tf.cast(draw_B * tf.cast(bound, tf.float64), tf.int64), bound - 1)
