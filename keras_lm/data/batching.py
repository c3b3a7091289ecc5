"""What the pipelines of rows in buckets are asked for alike: sizes, order, where to begin."""

from typing import Any, NamedTuple

import numpy as np

from keras_lm.data import checks
from keras_lm.data.bucket_pipeline import BucketBatch, BucketPipeline
from keras_lm.data.buckets import divide_rows


class Batching(NamedTuple):
    """Arguments of a pipeline; see `keras_lm.data.classification`, which has all of them."""

    batch_size: int
    num_buckets: int
    batch_multiple: int
    drop_remainder: bool
    seed: int
    start_step: int
    shuffle: bool

    def checked(self) -> "Batching":
        """The same with plain ints.

        Raises:
            ValueError: a number is none, or out of range.
        """
        found = self._replace(
            seed=checks.seed(self.seed),
            start_step=checks.integer("start_step", self.start_step, 0),
            batch_size=checks.integer("batch_size", self.batch_size, 1),
            num_buckets=checks.integer("num_buckets", self.num_buckets, 1),
            batch_multiple=checks.integer("batch_multiple", self.batch_multiple, 1),
        )
        checks.multiple(found.batch_size, found.batch_multiple)
        return found

    def pipeline(self, batch: BucketBatch, lengths: np.ndarray) -> Any:
        """A `BucketPipeline` of rows of these lengths, int64 `(R,)`."""
        sizes = {"batch_size": self.batch_size, "num_buckets": self.num_buckets}
        return BucketPipeline(
            batch,
            buckets=divide_rows(lengths, **sizes),
            seed=self.seed,
            shuffle=self.shuffle,
            drop_remainder=self.drop_remainder,
            batch_multiple=self.batch_multiple,
            start_step=self.start_step,
        )
