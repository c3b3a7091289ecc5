"""A fixed set of integer keys as tensors: two gathers and a comparison find a key's place.

A sparse table stored by row displacement (Tarjan and Yao 1979, "Storing a sparse table"): a key's
low bits are its row, its high bits its column, and the rows are moved until no two keys share a
cell. A hash table of TensorFlow would do as well, but it is a resource: it would have to be tracked
and initialized wherever a graph captures it.

N keys.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.tokenizers.constants import constant

Tensor = Any


class KeyIndex:
    """Where a key stands in a sorted array of distinct keys.

    Args:
        keys: int64 `(N,)`, ascending, each once.
        limit: every key, and every key that is asked for, is in `0 .. limit - 1`. The tables take
            the order of N + sqrt(limit) cells.

    Raises:
        ValueError: keys that do not ascend, or are out of range.
    """

    def __init__(self, keys: np.ndarray, limit: int):
        if np.any(np.diff(keys) <= 0) or (len(keys) and not 0 <= keys[0] <= keys[-1] < limit):
            raise ValueError(
                "keys must ascend, each once, in 0 .. limit - 1. "
                f"Received: {len(keys)} keys, limit={limit}"
            )
        limit_bits = int(limit - 1).bit_length()
        # At most half of the cells are taken, and there are no more columns than cells: then the
        # keys of one row never meet.
        bits = max(int(2 * len(keys) + 8).bit_length(), (limit_bits + 1) // 2)
        self._row_bits = max(bits - 3, limit_bits - bits)
        self._cell_mask = 2**bits - 1
        rows, columns = keys & (2**self._row_bits - 1), keys >> self._row_bits
        moves, cells = _displace(rows, columns, 2**self._row_bits, 2**bits)
        self._moves, self._cells = constant(moves), constant(cells)
        self._keys = constant(np.append(keys, -1))

    def __call__(self, keys: Tensor) -> Tensor:
        """The place of each int64 key, int32 of the keys' shape; N where there is no such key."""
        move = tf.gather(self._moves, tf.bitwise.bitwise_and(keys, 2**self._row_bits - 1))
        column = tf.bitwise.right_shift(keys, tf.constant(self._row_bits, tf.int64))
        cell = tf.bitwise.bitwise_and(column + move, self._cell_mask)
        place = tf.gather(self._cells, cell)
        return tf.where(tf.gather(self._keys, place) == keys, place, self._keys.shape[0] - 1)


def _displace(
    rows: np.ndarray, columns: np.ndarray, num_rows: int, num_cells: int
) -> tuple[np.ndarray, np.ndarray]:
    """Moves each row, the fullest first, to where its cells are free.

    Returns:
        How far each row moves, int64 `(num_rows,)`, and the key in each cell, int32 `(num_cells,)`,
        N where there is none.
    """
    random = np.random.default_rng(0)
    nobody = len(rows)
    moves, cells = np.zeros(num_rows, np.int64), np.full(num_cells, nobody, np.int32)
    order = np.argsort(rows, kind="stable")
    row, begin, size = np.unique(rows[order], return_index=True, return_counts=True)
    for length in np.unique(size)[::-1]:
        # All rows of one length at once: each tries a move, and those that met nobody stay.
        key_RL = order[begin[size == length][:, None] + np.arange(length)]
        row_R = row[size == length]
        while len(row_R):
            move_R = random.integers(0, num_cells, len(row_R))
            cell_RL = (columns[key_RL] + move_R[:, None]) & (num_cells - 1)
            free_R = np.all(cells[cell_RL] == nobody, axis=1)
            key_FL, cell_FL = key_RL[free_R], cell_RL[free_R]
            cells[cell_FL] = key_FL
            stays_F = np.all(cells[cell_FL] == key_FL, axis=1)
            lost = cell_FL[~stays_F]
            cells[lost[np.isin(cells[lost], key_FL[~stays_F])]] = nobody
            stays_R = free_R.copy()
            stays_R[free_R] = stays_F
            moves[row_R[stays_R]] = move_R[stays_R]
            row_R, key_RL = row_R[~stays_R], key_RL[~stays_R]
    return moves, cells
