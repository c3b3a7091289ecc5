"""Threefry-2x32: random numbers as a pure function of (seed, sequence, step).

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3; 20 rounds.

TensorFlow's own stateless generators choose their algorithm by device and by release, so the same
seed gives other text elsewhere. This one is written in integer additions, shifts and xors alone: a
row's numbers are the same in every batch, on every device, in Python and in an exported graph.
Words of 32 bits live in int64, the one integer type whose operations every device has.

B batch, N steps.
"""

from typing import Any

import tensorflow as tf

Tensor = Any

_PARITY = 0x1BD11BDA
_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_ROUNDS = 20
_WORD = 0xFFFFFFFF


def threefry2x32(key: tuple[Tensor, Tensor], counter: tuple[Tensor, Tensor]) -> tuple[Any, Any]:
    """Enciphers two 32-bit counters under two 32-bit keys.

    Args:
        key: two int64 tensors of values in `0 .. 2**32 - 1`, broadcastable to the counters.
        counter: two int64 tensors of values in the same range.

    Returns:
        Two int64 tensors of values in that range, of the broadcast shape.
    """
    keys = (*key, tf.bitwise.bitwise_xor(tf.bitwise.bitwise_xor(*key), _int64(_PARITY)))
    left = _wrap(counter[0] + keys[0])
    right = _wrap(counter[1] + keys[1])
    for step in range(_ROUNDS):
        left = _wrap(left + right)
        right = tf.bitwise.bitwise_xor(_rotate(right, _ROTATIONS[step % 8]), left)
        if step % 4 == 3:
            turn = step // 4 + 1
            left = _wrap(left + keys[turn % 3])
            right = _wrap(right + keys[(turn + 1) % 3] + turn)
    return left, right


@tf.autograph.experimental.do_not_convert  # nothing to convert, and tracing takes half the time
def uniforms(
    seed: Tensor, num_steps: int | Tensor, sequence: Tensor | None = None, stream: int = 0
) -> Tensor:
    """Draws one number for each row and step, keyed by the row's own seed.

    The key is the seed's two words, the counter `(step, sequence)`, the number the upper 24 bits of
    the first word that comes out. So step `n` of a row is the same whatever `num_steps` is.
    Another stream counts its steps from `stream * 2**28` on.

    Args:
        seed: int `(B,)`, any value.
        num_steps: N, int or int scalar, at most 2**28.
        sequence: int `(B,)`; which of several independent draws for one seed. None: 0.
        stream: in `0 .. 15`; which of several independent numbers of one step.

    Returns:
        float32 `(B, N)` in `[0, 1)`, multiples of 2**-24.
    """
    seed_B1 = tf.cast(seed, tf.int64)[:, None]
    sequence_B1 = (
        tf.zeros_like(seed_B1) if sequence is None else tf.cast(sequence, tf.int64)[:, None]
    )
    step_1N = tf.range(tf.cast(num_steps, tf.int64))[None] + stream * 2**28
    high_B1 = _wrap(tf.bitwise.right_shift(seed_B1, _int64(32)))
    bits_BN, _ = threefry2x32((_wrap(seed_B1), high_B1), (step_1N, _wrap(sequence_B1)))
    return tf.cast(tf.bitwise.right_shift(bits_BN, _int64(8)), tf.float32) * 2.0**-24


def _int64(value: int) -> Tensor:
    return tf.constant(value, tf.int64)


def _wrap(value: Tensor) -> Tensor:
    return tf.bitwise.bitwise_and(value, _int64(_WORD))


def _rotate(word: Tensor, by: int) -> Tensor:
    left = tf.bitwise.left_shift(word, _int64(by))
    return _wrap(tf.bitwise.bitwise_or(left, tf.bitwise.right_shift(word, _int64(32 - by))))
