"""Rows of a prepared corpus, in the graph: windows of a few shards, and batches out of them.

S shards, n shards of a window, W rows of a window, N tokens of a window, B rows of a batch,
T length, R rows and U units of the shards of a window.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from keras_lm.data.prepared import Prepared
from keras_lm.data.prepared_shards import ShardFiles, without_ends
from keras_lm.data.row_tables import RowTables
from keras_lm.data.sentence_pairs import PairRows, draw_pairs

Tensor = Any


class Rows(Protocol):
    """Rows of one kind. All methods are traced into graphs.

    Attributes:
        num_rows: int64 `(S,)`, rows that begin in each shard.
        capacity: tokens of a row.
    """

    num_rows: np.ndarray
    capacity: int

    def load(self, shard: Tensor) -> tuple[Tensor, ...]:
        """All that is needed of a shard, int64 scalar, as strings."""

    def window(
        self, loaded: tuple[Tensor, ...], shards: Tensor, at: Tensor, row: Tensor
    ) -> tuple[Tensor, ...]:
        """What `batch` needs of a window.

        Args:
            loaded: strings `(n,)` of each kind that `load` gives.
            shards: int64 `(n,)`.
            at: which of them each row of the window is in, int64 `(W,)`.
            row: its number in there, int64 `(W,)`.
        """

    def batch(self, window: tuple[Tensor, ...], place: Tensor, seed: Tensor) -> Any:
        """Rows of a window at places int64 `(B,)`; a structure of tensors `(B, ...)`."""


class StreamRows:
    """Rows of causal LM: row r takes `length + 1` tokens from place `r * length` on.

    A batch is int32 `(B, T + 1)`.

    Args:
        prepared: the corpus.
        length: T.
    """

    def __init__(self, prepared: Prepared, length: int):
        self.capacity = length
        self._files = prepared.files
        border_S = np.concatenate([[0], np.cumsum(self._files.size)])
        # The first row that begins in each shard, or behind it.
        first_S = np.minimum(-(-border_S // length), (border_S[-1] - 1) // length)
        self.num_rows = np.diff(first_S)
        with tf.device("CPU:0"):
            self._start_S = tf.constant(first_S[:-1] * length - border_S[:-1])
            self._more_S = tf.constant(self._files.blocks_behind(length + 1))

    def load(self, shard: Tensor) -> tuple[Tensor, ...]:
        """See `Rows`."""
        return self._files.load(shard, self._more_S[shard])[:1]

    def window(
        self, loaded: tuple[Tensor, ...], shards: Tensor, at: Tensor, row: Tensor
    ) -> tuple[Tensor, ...]:
        """See `Rows`; ids `(N,)` and where the rows begin, int64 `(W,)`."""
        id_N, base_n = self._files.ids(loaded[0])
        start_W = tf.gather(base_n + tf.gather(self._start_S, shards), at) + row * self.capacity
        return id_N, start_W

    def batch(self, window: tuple[Tensor, ...], place: Tensor, seed: Tensor) -> Tensor:
        """See `Rows`."""
        del seed  # there is nothing to draw
        id_N, start_W = window
        start_B = tf.gather(start_W, place)
        place_BT = start_B[:, None] + tf.range(self.capacity + 1, dtype=tf.int64)
        return tf.cast(tf.gather(id_N, place_BT), tf.int32)


class SpanRows:
    """Rows of a table: where they begin, and how long they are.

    Args:
        prepared: the corpus.
        tables: of `row_tables.span_tables`.
        capacity: tokens of a row.
        across_documents: whether rows go on behind the end of a document.
        assemble: ids `(N,)` and spans (start int64 `(B,)`, length int64 `(B,)`) to a batch.
    """

    def __init__(
        self,
        prepared: Prepared,
        tables: RowTables,
        capacity: int,
        across_documents: bool,
        assemble: Callable[[Tensor, tuple[Tensor, Tensor]], Any],
    ):
        self.capacity, self.num_rows = capacity, tables.num_rows
        self._files, self._across, self._assemble = prepared.files, across_documents, assemble
        with tf.device("CPU:0"):
            self._path_S = tf.constant(tables.paths("rows"))
            self._tokens_S = tf.constant(self._files.tokens)
            self._more_S = tf.constant(
                self._files.blocks_behind(capacity + 1 if across_documents else 0)
            )

    def load(self, shard: Tensor) -> tuple[Tensor, ...]:
        """See `Rows`."""
        ids, lengths = self._files.load(shard, self._more_S[shard])
        return ids, lengths, tf.io.read_file(self._path_S[shard])

    def window(
        self, loaded: tuple[Tensor, ...], shards: Tensor, at: Tensor, row: Tensor
    ) -> tuple[Tensor, ...]:
        """See `Rows`; ids `(N,)`, where rows begin and how long they are, int64 `(W,)`."""
        if self._across:
            id_N, base_n = self._files.ids(loaded[0])
        else:
            id_N, base_n = _texts(self._files, self._tokens_S, loaded, shards)
        table_R2, first_n = _table(loaded[2], 2)
        span_W2 = tf.gather(table_R2, tf.gather(first_n, at) + row)
        return id_N, tf.gather(base_n, at) + span_W2[:, 0], span_W2[:, 1]

    def batch(self, window: tuple[Tensor, ...], place: Tensor, seed: Tensor) -> Any:
        """See `Rows`."""
        del seed  # there is nothing to draw
        id_N, start_W, length_W = window
        return self._assemble(id_N, (tf.gather(start_W, place), tf.gather(length_W, place)))


class PairedRows:
    """Rows of pairs, see `sentence_pairs`; another document's part is drawn in the window's shards.

    Args:
        prepared: the corpus.
        tables: of `row_tables.pair_tables`.
        capacity: tokens of a row.
        assemble: ids `(N,)` and two spans to a structure. A batch is it, and the labels.
    """

    def __init__(
        self,
        prepared: Prepared,
        tables: RowTables,
        capacity: int,
        assemble: Callable[[Tensor, Any, Any], Any],
    ):
        self.capacity, self.num_rows = capacity, tables.num_rows
        self._files, self._assemble = prepared.files, assemble
        with tf.device("CPU:0"):
            self._tokens_S = tf.constant(prepared.files.tokens)
            self._units_S = tf.constant(tables.paths("units"))
            self._rows_S = tf.constant(tables.paths("rows"))

    def load(self, shard: Tensor) -> tuple[Tensor, ...]:
        """See `Rows`."""
        loaded = self._files.load(shard, tf.constant(0, tf.int64))
        return *loaded, *(tf.io.read_file(x[shard]) for x in (self._units_S, self._rows_S))

    def window(
        self, loaded: tuple[Tensor, ...], shards: Tensor, at: Tensor, row: Tensor
    ) -> tuple[Tensor, ...]:
        """See `Rows`; ids `(N,)`, the fields of `PairRows`, and which rows are in the window."""
        id_N, base_n = _texts(self._files, self._tokens_S, loaded, shards)
        unit_U1, unit_n = _table(loaded[2], 1)
        table_R5, row_n = _table(loaded[3], 5)
        unit_U = unit_U1[:, 0] + _repeated(base_n, unit_n, unit_U1)
        of_unit_R, of_row_R = (_repeated(base, row_n, table_R5) for base in (unit_n, row_n))
        start_R, end_R, document_end_R, first_row_R, end_row_R = tf.unstack(table_R5, axis=1)
        return (
            id_N,
            unit_U,
            start_R + of_unit_R,
            end_R + of_unit_R,
            document_end_R + of_unit_R,
            first_row_R + of_row_R,
            end_row_R + of_row_R,
            tf.gather(row_n, at) + row,
        )

    def batch(self, window: tuple[Tensor, ...], place: Tensor, seed: Tensor) -> Any:
        """See `Rows`."""
        id_N, *fields, row_W = window
        spans = draw_pairs(PairRows(*fields), tf.gather(row_W, place), self.capacity, seed)
        return self._assemble(id_N, *spans[:2]), spans[2]


def _texts(files: ShardFiles, tokens: Tensor, loaded: Any, shards: Tensor) -> tuple[Tensor, Tensor]:
    """Ids without those behind documents `(N,)`, and where each shard begins, int64 `(n,)`."""
    id_N = without_ends(files.ids(loaded[0])[0], loaded[1])
    return id_N, tf.cumsum(tf.gather(tokens, shards), exclusive=True)


def _table(loaded: Tensor, columns: int) -> tuple[Tensor, Tensor]:
    """Tables, strings `(n,)`, one below the other: int64 `(R, columns)`, and where each begins."""
    flat = tf.io.decode_raw(tf.strings.reduce_join(loaded), tf.int32)
    size_n = tf.cast(tf.strings.length(loaded), tf.int64) // (4 * columns)
    return tf.reshape(tf.cast(flat, tf.int64), [-1, columns]), tf.cumsum(size_n, exclusive=True)


def _repeated(value: Tensor, first: Tensor, table: Tensor) -> Tensor:
    """The value `(n,)` of the shard that each line of a table is of."""
    number = tf.shape(table, tf.int64)[:1]
    return tf.repeat(value, tf.concat([first[1:], number], 0) - first)
