"""A pipeline whose batches are rows of about the same length, as many as so many tokens allow.

B batch size, K buckets, R rows.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.data.buckets import Bucket
from keras_lm.data.pipeline import DRAWS, ORDER, Pipeline, seed_for, shuffled

Tensor = Any
# Rows int64 (B,), the bucket's two lengths int64 (), and a seed int64 (2,), to a structure of
# tensors whose first dimension is B. Pure: it is traced into the graph.
BucketBatch = Callable[[Tensor, Tensor, Tensor, Tensor], Any]


class BucketPipeline(Pipeline):
    """Batches that each take rows of one bucket.

    Rows that do not fill the last batch of their bucket are left out, others in each epoch when
    rows are shuffled; or they make a smaller batch.

    Args:
        batch: see `BucketBatch`.
        buckets: see `Bucket`.
        seed: any integer of 64 bits.
        shuffle: whether each epoch has an order of its own, of the batches and of the rows within
            each bucket. Without it, buckets come one after the other.
        drop_remainder: whether what does not fill a batch is left out.
        batch_multiple: of what a smaller batch has a multiple of rows, too.
        start_step: the first step, counted over all epochs.
        token_counts: see `Pipeline`.

    Attributes:
        buckets: a list of `Bucket`.
        steps_per_epoch: int.

    Raises:
        ValueError: no bucket has rows for a batch.
    """

    def __init__(
        self,
        batch: BucketBatch,
        *,
        buckets: Sequence[Bucket],
        seed: int = 0,
        shuffle: bool = True,
        drop_remainder: bool = True,
        batch_multiple: int = 1,
        start_step: int = 0,
        token_counts: np.ndarray | None = None,
    ):
        self.buckets = list(buckets)
        size_K = np.array([bucket.batch_size for bucket in buckets], np.int64)
        number_K = np.array([len(bucket.rows) for bucket in buckets], np.int64)
        unit_K = size_K if drop_remainder else np.full_like(size_K, batch_multiple)
        used_K = number_K // unit_K * unit_K
        steps_K = -(-used_K // size_K)
        if not steps_K.sum():
            raise ValueError(
                "The rows must give at least one batch; see its size and drop_remainder. "
                f"Received: rows={number_K.sum()}, batch_size={size_K.max()}"
            )
        self._batch, self._seed, self._shuffle = batch, seed, shuffle
        with tf.device("CPU:0"):
            self._row_R = tf.constant(np.concatenate([bucket.rows for bucket in buckets]))
            # By bucket: where its rows begin, how many there are and how many an epoch takes, rows
            # of a batch, the lengths, and the first step behind it.
            self._table_K = [
                tf.constant(column, tf.int64)
                for column in (
                    np.cumsum(number_K) - number_K,
                    number_K,
                    used_K,
                    size_K,
                    [bucket.source_length for bucket in buckets],
                    [bucket.target_length for bucket in buckets],
                    np.cumsum(steps_K),
                    np.cumsum(steps_K) - steps_K,
                )
            ]
        super().__init__(
            steps_per_epoch=int(steps_K.sum()), start_step=start_step, token_counts=token_counts
        )

    def step(self, step: Tensor) -> Any:
        """Batch number `step`, an integer scalar counted over all epochs."""
        step = tf.cast(step, tf.int64)
        place = step % self.steps_per_epoch
        seed = seed_for(self._seed, ORDER, step // self.steps_per_epoch)
        if self._shuffle:
            place = shuffled(place, self.steps_per_epoch, seed)
        k = tf.searchsorted(self._table_K[-2], place[None], side="right")[0]
        start, number, used, size, source, target, _, first = (
            tf.gather(column, k) for column in self._table_K
        )
        begin = (place - first) * size
        place_B = tf.range(begin, tf.minimum(begin + size, used))
        if self._shuffle:
            own_seed = tf.random.experimental.stateless_fold_in(seed, k, alg="philox")
            place_B = shuffled(place_B, number, own_seed)
        row_B = tf.gather(self._row_R, start + place_B)
        return self._batch(row_B, source, target, seed_for(self._seed, DRAWS, step))
