"""Pipelines whose batch i is a pure function of the rows, the seed and i.

Nothing is remembered between two batches: the order of an epoch is a keyed permutation that is
computed index by index, and random numbers come from stateless generators. So a run that starts at
step 1,000,000 costs what one that starts at step 0 costs and sees the batches it would have seen.

B batch size, R rows.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

Tensor = Any
Batch = Callable[[Tensor, Tensor], Any]  # rows int64 (B,), seed int64 (2,) -> structure of tensors

_ORDER, _DRAWS = 1, 2  # what a seed is for


class Pipeline(tf.data.Dataset):
    """A finite `tf.data.Dataset` of one epoch, which can also go on for ever.

    Iterated, it gives the steps from `start_step` to the end of its epoch. Rows that do not fill a
    batch are left out, others in each epoch when rows are shuffled. What `map`, `take` and the like
    give is an ordinary Dataset without the members below.

    Args:
        batch: takes rows, int64 `(B,)`, and a seed, int64 `(2,)`; gives tensors whose first
            dimension is B. Pure: it is traced into the graph.
        num_rows: R.
        batch_size: B.
        seed: any integer of 64 bits.
        shuffle: whether each epoch has an order of its own. Without it, rows come as they stand.
        start_step: the first step, counted over all epochs.

    Attributes:
        steps_per_epoch: int, R // B.
        start_step: int.

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
    ):
        if num_rows < batch_size:
            raise ValueError(
                "The text must give at least one batch of rows. "
                f"Received: rows={num_rows}, batch_size={batch_size}"
            )
        self._batch, self._num_rows, self._batch_size = batch, num_rows, batch_size
        self._seed, self._shuffle = seed, shuffle
        self.start_step = start_step
        self.steps_per_epoch = num_rows // batch_size
        # Traced once for this dataset and all endless ones.
        self._traced = tf.function(self.step).get_concrete_function(tf.TensorSpec((), tf.int64))
        end = (start_step // self.steps_per_epoch + 1) * self.steps_per_epoch
        self._epoch = self._of_steps(tf.data.Dataset.range(start_step, end))
        super().__init__(self._epoch._variant_tensor)

    def endless(self, start_step: int = 0) -> tf.data.Dataset:
        """All steps from `start_step` on, without an end.

        Epoch e covers the steps e * `steps_per_epoch` and following, in an order of its own and
        with draws (masks, pairs) of its own.

        Args:
            start_step: the first step, counted over all epochs; the pipeline's own `start_step`
                does not enter.
        """
        return self._of_steps(tf.data.Dataset.counter(start_step))

    def step(self, step: Tensor) -> Any:
        """Batch number `step`, an integer scalar counted over all epochs."""
        step = tf.cast(step, tf.int64)
        row_B = step % self.steps_per_epoch * self._batch_size
        row_B += tf.range(self._batch_size, dtype=tf.int64)
        if self._shuffle:
            row_B = tf.random.experimental.index_shuffle(
                row_B,
                seed=_fold(self._seed, _ORDER, step // self.steps_per_epoch),
                max_index=tf.constant(self._num_rows - 1, tf.int64),
            )
        row_B = tf.ensure_shape(row_B, [self._batch_size])
        return self._batch(row_B, _fold(self._seed, _DRAWS, step))

    def _of_steps(self, steps: tf.data.Dataset) -> tf.data.Dataset:
        options = tf.data.Options()
        # The rewrites would copy the whole corpus into a graph each time an iterator is made, and
        # have nothing to improve here.
        options.experimental_optimization.apply_default_optimizations = False
        options.experimental_distribute.auto_shard_policy = (
            tf.data.experimental.AutoShardPolicy.DATA
        )
        batches = steps.map(
            lambda step: self._traced(step),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        return batches.prefetch(tf.data.AUTOTUNE).with_options(options)

    # What `tf.data.Dataset` asks of a subclass.

    def _inputs(self) -> list[tf.data.Dataset]:
        return [self._epoch]

    @property
    def element_spec(self) -> Any:
        """Shapes and dtypes of a batch; the batch dimension is static."""
        return self._epoch.element_spec


def _fold(seed: int, purpose: int, number: Tensor) -> Tensor:
    """A seed for one purpose and one number: int64 `(2,)`."""
    # Philox by name: the default would take another generator on another kind of device.
    return tf.random.experimental.stateless_fold_in(
        tf.constant([np.int64(seed), purpose], tf.int64), number, alg="philox"
    )
