"""Random numbers from stateless seeds, int64 `(2,)`, the same on every kind of device."""

from typing import Any

import numpy as np
import tensorflow as tf

Tensor = Any


def uniform(shape: Tensor, seed: Tensor) -> Tensor:
    """float32 of a shape, in [0, 1)."""
    return tf.random.stateless_uniform(shape, seed, alg="philox")


def split(seed: Tensor, number: int) -> list[Tensor]:
    """So many seeds out of one."""
    return tf.unstack(tf.random.experimental.stateless_split(seed, number, alg="philox"))


def from_shares(shares: np.ndarray, shape: Tensor, seed: Tensor) -> Tensor:
    """Draws i as often as `shares[i]` of their sum says.

    Args:
        shares: floats, few of them.
        shape: of the result.
        seed: int64 `(2,)`.

    Returns:
        int32.
    """
    # The last one is left out, so that no draw lies beyond it.
    cumulative = (np.cumsum(shares) / np.sum(shares))[:-1].astype(np.float32)
    beyond = uniform(shape, seed)[..., None] >= cumulative
    return tf.reduce_sum(tf.cast(beyond, tf.int32), -1)
