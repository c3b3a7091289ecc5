"""Reads shards of a prepared directory, in the graph; what is in them, see `shards.encoding`.

S shards, n shards that are read together, N tokens, L texts and ends of documents.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.shards.encoding import BLOCK
from keras_lm.shards.index import Shard

Tensor = Any


class ShardFiles:
    """The files, as tensors.

    Args:
        directory: where they are.
        shards: S of them.
        dtype: of the ids.

    Attributes:
        tokens: int64 `(S,)`, ids of the texts of each shard.
        size: int64 `(S,)`, the same with those behind documents.
    """

    def __init__(self, directory: pathlib.Path, shards: Sequence[Shard], dtype: str):
        self.dtype = tf.as_dtype(dtype)
        self.tokens = np.array([shard.tokens for shard in shards], np.int64)
        self.size = self.tokens + np.array([shard.documents for shard in shards], np.int64)
        self._paths = [str(directory / shard.file) for shard in shards]
        self._blocks = np.array([shard.blocks for shard in shards], np.int64)
        with tf.device("CPU:0"):
            self._path_S = tf.constant(self._paths)
            self._blocks_S = tf.constant(self._blocks)
        number = tf.TensorSpec((), tf.int64)
        self._read = tf.function(self._records, autograph=False).get_concrete_function(
            number, number
        )

    def blocks_behind(self, tokens: int) -> np.ndarray:
        """How many blocks behind each shard hold so many tokens, or all that follow; `(S,)`."""
        more_S = np.zeros_like(self.size)
        for i in range(len(more_S)):
            missing, j = tokens, i + 1
            while missing > 0 and j < len(more_S):
                more_S[i] += min(self._blocks[j], -(-missing // BLOCK))
                missing -= int(self.size[j])
                j += 1
        return more_S

    def load(self, shard: Tensor, more: Tensor) -> tuple[Tensor, Tensor]:
        """The two halves of all records of a shard, and of blocks of the ones behind it.

        Args:
            shard: int64 scalar.
            more: blocks behind those of the shard, int64 scalar.

        Returns:
            The bytes of the ids, and those of the lengths of texts, strings.
        """
        record_n = self._records(shard, more)
        return tf.strings.reduce_join(record_n[::2]), tf.strings.reduce_join(record_n[1::2])

    def ids(self, loaded: Tensor) -> tuple[Tensor, Tensor]:
        """Ids of several shards, strings `(n,)`: ids `(N,)`, and where each shard begins `(n,)`."""
        id_N = tf.io.decode_raw(tf.strings.reduce_join(loaded), self.dtype)
        length_n = tf.cast(tf.strings.length(loaded), tf.int64) // self.dtype.size
        return id_N, tf.cumsum(length_n, exclusive=True)

    def on_host(self, shard: int, more: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """What `load` reads, as ids `(N,)` and lengths int64 `(L,)`.

        Raises:
            ValueError: a shard cannot be read, with its name.
        """
        try:
            records = self._read(tf.constant(shard, tf.int64), tf.constant(more, tf.int64)).numpy()
        except tf.errors.OpError as error:
            raise ValueError(
                "A shard must be as it was written. Received: "
                f"{self._paths[shard]!r}: {error.message.splitlines()[0]}"
            ) from error
        ids = np.frombuffer(b"".join(records[::2]), self.dtype.as_numpy_dtype)
        return ids, np.frombuffer(b"".join(records[1::2]), "<i4").astype(np.int64)

    def _records(self, shard: Tensor, more: Tensor) -> Tensor:
        number = 2 * (self._blocks_S[shard] + more)
        # A shard has one block at least.
        files = tf.data.TFRecordDataset(self._path_S[shard : shard + more + 1], "GZIP")
        return files.take(number).batch(number).get_single_element()


def without_ends(ids: Tensor, lengths: Tensor) -> Tensor:
    """Ids of texts alone.

    Args:
        ids: `(N,)`, with an id behind each document.
        lengths: bytes of the lengths of texts, strings `(n,)`.
    """
    length_L = tf.io.decode_raw(tf.strings.reduce_join(lengths), tf.int32)
    is_end_N = tf.repeat(tf.equal(length_L, 0), tf.maximum(length_L, 1))
    return tf.boolean_mask(ids, ~is_end_N)
