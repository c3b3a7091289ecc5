"""Dropout on one device, on several, and once more."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm.layers import Dropout
from keras_lm.layers.dropout import SeedTape

ONES = np.ones((4, 6), "float32")


@pytest.mark.parametrize("noise_shape", [None, (None, 1)])
def test_one_device_draws_what_keras_draws(noise_shape):
    drawn = []
    for layer_class in (keras.layers.Dropout, Dropout):
        keras.utils.set_random_seed(1)
        layer = layer_class(0.5, noise_shape=noise_shape)
        drawn.append([layer(ONES, training=True).numpy() for _ in range(2)])
    np.testing.assert_array_equal(*drawn)


def test_nothing_is_dropped_unless_a_training_asks_for_it():
    for layer, training in ((Dropout(0.5), False), (Dropout(0.5), None), (Dropout(0.0), True)):
        np.testing.assert_array_equal(layer(ONES, training=training), ONES)
    np.testing.assert_array_equal(Dropout(1.0)(ONES, training=True), 0 * ONES)


def test_replicas_draw_different_masks_that_can_be_repeated(replicas):
    def draw():
        keras.utils.set_random_seed(1)
        with replicas.scope():
            layer = Dropout(0.5)

        @tf.function
        def step():
            return replicas.run(lambda: layer(ONES, training=True))

        masks = [replicas.experimental_local_results(step()) for _ in range(2)]
        states = [v for v in layer.variables if "seed" in v.path]
        assert [int(part.numpy()[1]) for part in states[0].value.values] == [2, 2]
        return np.array([[mask.numpy() for mask in pair] for pair in masks])

    masks = draw()
    flat = masks.reshape(4, -1)
    assert len({mask.tobytes() for mask in flat}) == 4
    np.testing.assert_array_equal(draw(), masks)


def test_a_tape_gives_out_the_seeds_of_the_first_time():
    layer, tape = Dropout(0.5), SeedTape()

    def masks():
        return [layer(ONES, training=True).numpy() for _ in range(2)]

    with tape:
        first = masks()
    between = masks()
    for _ in range(2):
        with tape:
            np.testing.assert_array_equal(masks(), first)
    assert not np.array_equal(between, first)


def test_a_tape_within_a_tape_is_repeated_with_it():
    layer, outer = Dropout(0.5), SeedTape()

    def masks():
        inner = SeedTape()
        with inner:
            first = layer(ONES, training=True).numpy()
        last = layer(ONES, training=True).numpy()
        with inner:
            np.testing.assert_array_equal(layer(ONES, training=True), first)
        return [first, last]

    with outer:
        drawn = masks()
    with outer:
        np.testing.assert_array_equal(masks(), drawn)
