"""Tables as tensors that any graph may capture.

A captured tensor is stored once in a SavedModel, needs no tracking and no initialization, and works
inside `tf.data`. A hash table would need all three.
"""

from typing import Any

import numpy as np
import tensorflow as tf

Tensor = Any


def constant(value: Any, dtype: Any = None) -> Tensor:
    """`value` as a tensor outside every graph, even when a function is being traced."""
    with tf.init_scope(), tf.device("CPU:0"):
        return tf.constant(np.asarray(value) if not isinstance(value, list) else value, dtype)
