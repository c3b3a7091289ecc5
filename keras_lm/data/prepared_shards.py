"""Reads shards of a prepared directory, in the graph.

S shards, N tokens.
"""

from typing import Any

import numpy as np
import tensorflow as tf

Tensor = Any


class ShardFiles:
    """The files, as tensors.

    Args:
        paths: S of them.
        num_records: int64 `(S,)`.
        dtype: of the ids.
    """

    def __init__(self, paths: list[str], num_records: np.ndarray, dtype: str):
        self.dtype = tf.as_dtype(dtype)
        with tf.device("CPU:0"):
            self._path_S = tf.constant(paths)
            self._records_S = tf.constant(num_records, tf.int64)
        self._records = tf.function(self.records, autograph=False).get_concrete_function(
            *[tf.TensorSpec((), tf.int64)] * 2
        )

    def __len__(self) -> int:
        """S."""
        return len(self._path_S)

    def records(self, shard: Tensor, more: Tensor) -> Tensor:
        """The records of a shard, strings, and so many of those that follow in other shards."""
        number = self._records_S[shard] + more
        # A shard has one record at least.
        files = tf.data.TFRecordDataset(self._path_S[shard : shard + more + 1], "GZIP")
        return files.take(number).batch(number).get_single_element()

    def stream(self, shard: Tensor, more: int, end_id: int | None) -> Tensor:
        """The ids of `records` as the bytes of one string.

        Args:
            shard: int64 scalar.
            more: records behind those of the shard.
            end_id: what stands behind each document, or None.
        """
        record_N = self.records(shard, tf.constant(more, tf.int64))
        if end_id is not None:
            end = np.array(end_id, self.dtype.as_numpy_dtype).tobytes()
            record_N = tf.where(tf.equal(record_N, b""), end, record_N)
        return tf.strings.reduce_join(record_N)

    def ids(self, streams: Tensor) -> tuple[Tensor, Tensor]:
        """Streams, strings `(n,)`, one behind the other: ids `(N,)`, and where each begins."""
        id_N = tf.io.decode_raw(tf.strings.reduce_join(streams), self.dtype)
        length_n = tf.cast(tf.strings.length(streams), tf.int64) // self.dtype.size
        return id_N, tf.cumsum(length_n, exclusive=True)

    def on_host(self, shard: int, more: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """The ids of `records` without ends `(N,)`, and the length of each record, int64.

        Raises:
            ValueError: a shard cannot be read, with its name.
        """
        try:
            records = self._records(tf.constant(shard, tf.int64), tf.constant(more, tf.int64))
        except tf.errors.OpError as error:
            raise ValueError(
                f"A shard must be as it was written. Received: "
                f"{self._path_S[shard].numpy().decode()!r}: {error.message.splitlines()[0]}"
            ) from error
        length = tf.strings.length(records).numpy().astype(np.int64) // self.dtype.size
        joined = tf.strings.reduce_join(records).numpy()
        return np.frombuffer(joined, self.dtype.as_numpy_dtype), length
