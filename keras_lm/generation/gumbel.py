"""A token for each of many places, drawn from its logits on the device: the Gumbel-max trick.

For training, where thousands of places are drawn at once and nobody filters: `sampling` serves
texts, a token at a time.

B batch, P places of a row, T length, V vocabulary.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.generation.threefry import threefry2x32

Tensor = Any

_WORD = 0xFFFFFFFF
_TINY = float(np.finfo(np.float32).tiny)


@tf.autograph.experimental.do_not_convert  # nothing to convert, and tracing takes half the time
def row_keys(seed: Tensor, token_ids: Tensor, real: Tensor) -> Tensor:
    """Makes a random key for each row, from what stands in it.

    So what a row draws does not depend on the rows beside it, on its place in the batch, on padding
    or on the replica that it is computed on. Equal rows get equal keys.

    Args:
        seed: int `(2,)`, such as a number and a step; the lower 32 bits count.
        token_ids: int `(B, T)`.
        real: bool `(B, T)`, False where a token is padding, which does not count.

    Returns:
        int64 `(B, 2)`, values in `0 .. 2**32 - 1`.
    """
    seed_2 = tf.bitwise.bitwise_and(tf.cast(seed, tf.int64), _WORD)
    place_1T = tf.range(tf.shape(token_ids, out_type=tf.int64)[1])[None]
    words = threefry2x32((seed_2[0], seed_2[1]), (place_1T, tf.cast(token_ids, tf.int64)))
    # Sums of 32-bit words do not overflow 64 bits.
    sums = [tf.reduce_sum(tf.where(real, word_BT, 0), axis=1) for word_BT in words]
    return tf.bitwise.bitwise_and(tf.stack(sums, axis=1), _WORD)


@tf.autograph.experimental.do_not_convert
def draw_tokens(logits: Tensor, keys: Tensor) -> Tensor:
    """Draws a token at each place from the softmax of its logits.

    The largest of logits to which Gumbel noise was added is such a draw (Gumbel 1954; Jang et al.
    2017, arXiv:1611.01144, section 2.1). No gradient flows.

    Args:
        logits: float `(B, P, V)`.
        keys: int64 `(B, 2)`; what a row draws is a pure function of its key and logits.

    Returns:
        int32 `(B, P)`.
    """
    logits = tf.cast(tf.stop_gradient(logits), tf.float32)

    def draw_row(row: tuple[Tensor, Tensor]) -> Tensor:
        logits_PV, key = row
        # Philox by name: the default would take another generator on another kind of device.
        uniform_PV = tf.random.stateless_uniform(
            tf.shape(logits_PV), key, minval=_TINY, maxval=1.0, alg="philox"
        )
        noise_PV = -tf.math.log(-tf.math.log(uniform_PV))
        return tf.argmax(logits_PV + noise_PV, axis=-1, output_type=tf.int32)

    # Row by row, for TensorFlow's generators take one key for a whole tensor.
    spec = tf.TensorSpec(logits.shape[1:2], tf.int32)
    return tf.map_fn(draw_row, (logits, keys), fn_output_signature=spec)
