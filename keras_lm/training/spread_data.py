"""What data must be like for several workers to read them together."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.training.workers import are_several, from_all_replicas

_UNKNOWN = -1


def check_equal_steps(strategy: Any, data: Any, steps: int | None) -> None:
    """Raises where workers would make different numbers of steps: one would wait for the others.

    All workers must call it, at the same time.

    Args:
        strategy: the strategy, or None.
        data: what `fit` was given.
        steps: of an epoch; None: not known, unless a distributed dataset knows it.

    Raises:
        ValueError: the numbers of the workers differ.
    """
    if not are_several(strategy):
        return
    if steps is None and isinstance(data, tf.distribute.DistributedDataset):
        with contextlib.suppress(ValueError, AttributeError):  # not built yet
            steps = int(data.cardinality)
    steps = _UNKNOWN if steps is None or steps < 0 else steps
    here = len(strategy.extended.worker_devices)
    everywhere = from_all_replicas(strategy, [np.array([steps], np.int32)] * here)[:, 0]
    if len(set(everywhere.tolist())) > 1:
        of_workers = [int(number) for number in everywhere[::here]]
        said = ["unknown" if number == _UNKNOWN else str(number) for number in of_workers]
        raise ValueError(
            "All workers must have the same number of batches in an epoch: give steps_per_epoch, "
            "with data that repeat. "
            f"Received: batches by worker: {', '.join(said)}"
        )


@contextlib.contextmanager
def too_few_files_named(strategy: Any) -> Iterator[None]:
    """Turns TensorFlow's error about files that cannot be shared out into one that says what to do.

    Raises:
        ValueError: each worker should read files of its own, and there are fewer than workers.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if "FILE based sharding" not in str(error.message):
            raise
        workers = len(strategy.cluster_resolver.cluster_spec().as_dict().get("worker", ()))
        raise ValueError(
            "With AutoShardPolicy.FILE, TensorFlow's choice for files, there must be a file for "
            "each worker. Take more files, or data.with_options() of a tf.data.Options whose "
            "experimental_distribute.auto_shard_policy is AutoShardPolicy.DATA. "
            f"Received: {workers} workers; {str(error.message).splitlines()[0]:.200}"
        ) from error
