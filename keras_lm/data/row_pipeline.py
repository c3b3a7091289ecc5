"""A pipeline whose batches are so many rows of one length.

B batch size, R rows.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.data.pipeline import DRAWS, ORDER, Batch, Pipeline, seed_for, shuffled

Tensor = Any


class RowPipeline(Pipeline):
    """Batches of `batch_size` rows.

    Rows that do not fill a batch are left out, others in each epoch when rows are shuffled.

    Args:
        batch: see `Batch`.
        num_rows: R.
        batch_size: B.
        seed: any integer of 64 bits.
        shuffle: whether each epoch has an order of its own. Without it, rows come as they stand.
        start_step: the first step, counted over all epochs.
        token_counts: see `Pipeline`.

    Attributes:
        steps_per_epoch: int, R // B.
        num_rows: R.

    Raises:
        ValueError: there are fewer rows than one batch takes.
    """

    def __init__(
        self,
        batch: Batch,
        *,
        num_rows: int,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
        start_step: int = 0,
        token_counts: np.ndarray | None = None,
    ):
        if num_rows < batch_size:
            raise ValueError(
                "The text must give at least one batch of rows. "
                f"Received: rows={num_rows}, batch_size={batch_size}"
            )
        self._batch, self._batch_size = batch, batch_size
        self._num_rows = self.num_rows = num_rows
        self._seed, self._shuffle = seed, shuffle
        super().__init__(
            steps_per_epoch=num_rows // batch_size,
            start_step=start_step,
            token_counts=token_counts,
        )

    def step(self, step: Tensor) -> Any:
        """Batch number `step`, an integer scalar counted over all epochs."""
        step = tf.cast(step, tf.int64)
        row_B = step % self.steps_per_epoch * self._batch_size
        row_B += tf.range(self._batch_size, dtype=tf.int64)
        if self._shuffle:
            epoch = step // self.steps_per_epoch
            row_B = shuffled(row_B, self._num_rows, seed_for(self._seed, ORDER, epoch))
        row_B = tf.ensure_shape(row_B, [self._batch_size])
        return self._batch(row_B, seed_for(self._seed, DRAWS, step))
