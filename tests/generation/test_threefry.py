import numpy as np
import pytest
import tensorflow as tf

from keras_lm.generation import threefry2x32, uniforms

# The known answers for 20 rounds that Salmon et al. publish with their Random123 library.
KNOWN = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
]


@pytest.mark.parametrize(("key", "counter", "answer"), KNOWN)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_published_vectors_come_out(key, counter, answer, jit_compile):
    def run(words):
        return threefry2x32((words[0], words[1]), (words[2], words[3]))

    words = tf.constant([*key, *counter], tf.int64)
    left, right = tf.function(run, jit_compile=jit_compile)(words)
    assert (int(left), int(right)) == answer


def test_a_number_depends_on_seed_sequence_and_step_alone():
    alone = uniforms(tf.constant([7]), 3, tf.constant([2]))
    among = uniforms(tf.constant([1, 7, -5], tf.int64), 9, tf.constant([0, 2, 4]))
    np.testing.assert_array_equal(among[1, :3], alone[0])


def test_another_seed_sequence_or_step_gives_another_number():
    # Also seeds that agree in their lower or upper 32 bits.
    seeds = tf.constant([0, 1, -1, 2**32, 2**32 + 1, -(2**63)], tf.int64)
    drawn = np.concatenate([uniforms(seeds, 50, tf.fill([6], s)).numpy().ravel() for s in (0, 1)])
    assert len(np.unique(drawn)) == drawn.size


def test_the_numbers_are_uniform_and_below_one():
    drawn = uniforms(tf.range(100), 1000).numpy()
    assert drawn.dtype == np.float32
    assert drawn.min() >= 0
    assert drawn.max() < 1
    counts = np.histogram(drawn, bins=100, range=(0, 1))[0]
    # Chi-square with 99 degrees of freedom; the numbers are fixed, so is the outcome.
    assert np.sum((counts - 1000.0) ** 2 / 1000.0) < 148  # p = 0.001


def test_other_streams_are_other_numbers_of_the_same_steps():
    seed = tf.constant([1, 2], tf.int64)
    numbers = [uniforms(seed, 50, stream=stream).numpy() for stream in (0, 1, 15)]
    np.testing.assert_array_equal(numbers[0], uniforms(seed, 50))
    for i, one in enumerate(numbers):
        for other in numbers[:i]:
            assert not np.any(one == other)
            assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.4
