"""Pipelines whose batch i is a pure function of the text, the seed and i.

Nothing is remembered between two batches: the order of an epoch is a keyed permutation that is
computed index by index, and random numbers come from stateless generators. So a run that starts at
step 1,000,000 costs what one that starts at step 0 costs and sees the batches it would have seen.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

Tensor = Any
# Rows int64 (B,), and a seed int64 (2,), to a structure of tensors whose first dimension is B.
# Pure: it is traced into the graph.
Batch = Callable[[Tensor, Tensor], Any]

ORDER, DRAWS, WINDOW, OFFSET = 1, 2, 3, 4  # what a seed is for


class Pipeline(tf.data.Dataset):
    """A finite `tf.data.Dataset` of one epoch, which can also go on for ever. Abstract.

    Iterated, it gives the steps from `start_step` to the end of its epoch. What `map`, `take` and
    the like give is an ordinary Dataset without the members below. A concrete class says in `step`
    what a step is, and calls this constructor last.

    Args:
        steps_per_epoch: int, positive.
        start_step: the first step, counted over all epochs.
        token_counts: see the attribute.

    Attributes:
        steps_per_epoch: int.
        start_step: int.
        token_counts: how often each id stands in the text, int64 `(V,)`; of pairs, in the targets.
            Or None.
        files: what the rows were read of, as it was given; None of what is no file.
    """

    def __init__(
        self,
        *,
        steps_per_epoch: int,
        start_step: int = 0,
        token_counts: np.ndarray | None = None,
    ):
        self.start_step, self.token_counts = start_step, token_counts
        self.steps_per_epoch = steps_per_epoch
        self.files: Any = None
        self._traced: Any = None
        end = (start_step // steps_per_epoch + 1) * steps_per_epoch
        self._epoch = self._batches(start_step, end).with_options(_options())
        super().__init__(self._epoch._variant_tensor)

    def step(self, step: Tensor) -> Any:
        """Batch number `step`, an integer scalar counted over all epochs."""
        raise NotImplementedError

    def endless(self, start_step: int = 0) -> tf.data.Dataset:
        """All steps from `start_step` on, without an end.

        Epoch e covers the steps e * `steps_per_epoch` and following, in an order of its own and
        with draws (masks, pairs) of its own.

        Args:
            start_step: the first step, counted over all epochs; the pipeline's own `start_step`
                does not enter.
        """
        return self._batches(start_step, None).with_options(_options())

    def _batches(self, start: int, end: int | None) -> tf.data.Dataset:
        """Steps from `start` on, to `end` or for ever."""
        if self._traced is None:  # once for this dataset and all endless ones
            self._traced = tf.function(self.step).get_concrete_function(tf.TensorSpec((), tf.int64))
        batches = numbers(start, end).map(
            lambda step: self._traced(step),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        return batches.prefetch(tf.data.AUTOTUNE)

    # What `tf.data.Dataset` asks of a subclass.

    def _inputs(self) -> list[tf.data.Dataset]:
        return [self._epoch]

    @property
    def element_spec(self) -> Any:
        """Shapes and dtypes of a batch."""
        return self._epoch.element_spec


def numbers(start: int, end: int | None) -> tf.data.Dataset:
    """Integers, int64, from `start` on, to `end` or for ever."""
    return tf.data.Dataset.counter(start) if end is None else tf.data.Dataset.range(start, end)


def _options() -> tf.data.Options:
    options = tf.data.Options()
    # The rewrites would copy the whole corpus into a graph each time an iterator is made, and have
    # nothing to improve here.
    options.experimental_optimization.apply_default_optimizations = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options


def seed_for(seed: int, purpose: int, number: Tensor) -> Tensor:
    """A seed for one purpose and one number: int64 `(2,)`."""
    # Philox by name: the default would take another generator on another kind of device.
    return tf.random.experimental.stateless_fold_in(
        tf.constant([np.int64(seed), purpose], tf.int64), number, alg="philox"
    )


def shuffled(places: Tensor, number: Tensor, seed: Tensor) -> Tensor:
    """What stands at `places` of a permutation of `0 .. number - 1`, each at constant cost.

    Args:
        places: int64 of any shape.
        number: int64 scalar.
        seed: int64 `(2,)`.
    """
    return tf.random.experimental.index_shuffle(
        places, seed=seed, max_index=tf.convert_to_tensor(number, tf.int64) - 1
    )
