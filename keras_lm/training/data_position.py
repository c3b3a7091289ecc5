"""Where a training is in its data, and whether it can go on from there."""

import hashlib
from typing import Any, NamedTuple

import tensorflow as tf

from keras_lm.training.fit_data import is_pipeline

_RULE = (
    "Checkpoints needs data that can start at any step and are the same in every process: a "
    "pipeline of keras_lm.data, or a tf.data.Dataset that gives the same batches each time it is "
    "iterated"
)


class Position(NamedTuple):
    """Where a training is.

    Args:
        epoch: of the next step, from 0 on.
        step: steps that were made in this epoch.
        data_step: of a pipeline the next batch, counted over all epochs; of another dataset the
            batches that were taken of it, or of this round of it.
        updates_before: updates that the optimizer had made before epoch 0.
    """

    epoch: int
    step: int
    data_step: int
    updates_before: int


def fingerprint(data: Any) -> str | None:
    """Returns a checksum of the first batch, to see that a later process has the same data.

    Of a dataset the first batch is read twice.

    Args:
        data: what `fit` was given.

    Returns:
        None for a dataset that is distributed already.

    Raises:
        ValueError: the data are no dataset, or one that is not the same when it is read again.
    """
    if isinstance(data, tf.distribute.DistributedDataset):
        return None
    if is_pipeline(data):
        return _checksum(data.endless(start_step=0))
    if not isinstance(data, tf.data.Dataset):
        raise ValueError(
            f"{_RULE}; tf.data.Dataset.from_tensor_slices(arrays).batch(32) makes one of arrays. "
            f"Received: a {type(data).__name__}"
        )
    first, second = _checksum(data), _checksum(data)
    if first != second:
        raise ValueError(
            f"{_RULE}: shuffle(..., seed=0, reshuffle_each_iteration=False), and no random numbers "
            "but stateless ones. Received: a dataset whose first batch is another one when it is "
            "read again"
        )
    return first


def check_fingerprint(ours: str | None, theirs: str | None, where: Any) -> None:
    """Raises where a checkpoint was written by a training on other data.

    Args:
        ours: as of `fingerprint`.
        theirs: that of the checkpoint.
        where: its path.

    Raises:
        ValueError: they differ.
    """
    if ours is not None and theirs is not None and ours != theirs:
        raise ValueError(
            "A training goes on with the data it began with, in the same order; others need "
            "another directory. A dataset that is shuffled needs a seed of its own, and the same "
            "tf.random.set_seed or keras.utils.set_random_seed before it. "
            f"Received: {where}, whose first batch was another one"
        )


def _checksum(data: tf.data.Dataset) -> str:
    digest = hashlib.sha256()
    for batch in data.take(1):
        for tensor in tf.nest.flatten(batch, expand_composites=True):
            digest.update(tf.io.serialize_tensor(tensor).numpy())
    return digest.hexdigest()
