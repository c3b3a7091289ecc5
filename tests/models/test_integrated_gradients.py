"""The integral along a line, of functions whose attributions are known."""

import numpy as np
import pytest
import tensorflow as tf

from keras_lm.models.explanations.integrated_gradients import gradients_along, integrate

RANDOM = np.random.default_rng(0)
START, END, WEIGHT = RANDOM.normal(size=(3, 4, 2)).astype("float32")


def found(function, steps, batch_size=32):
    sizes = []

    def along(at, by):
        sizes.append(len(at))
        return gradients_along(function, tf.constant(START), tf.constant(END), at, by)

    return integrate(along, steps, batch_size), sizes


def test_of_a_linear_function_they_are_weight_times_difference_after_one_step():
    integral, _ = found(lambda x: tf.reduce_sum(x * WEIGHT, axis=[1, 2]) + 3.0, steps=1)
    np.testing.assert_allclose(integral.attributions, WEIGHT * (END - START), atol=1e-5)
    assert integral.output == pytest.approx((WEIGHT * END).sum() + 3, abs=1e-5)
    assert integral.baseline_output == pytest.approx((WEIGHT * START).sum() + 3, abs=1e-5)


def test_of_powers_they_are_exact_with_few_steps_in_any_batches():
    # Each number for itself: its attribution is what its own term adds.
    integral, sizes = found(lambda x: tf.reduce_sum(x**5 * WEIGHT, axis=[1, 2]), 3, batch_size=2)
    np.testing.assert_allclose(integral.attributions, WEIGHT * (END**5 - START**5), rtol=1e-4)
    assert sizes == [2, 2, 1]


def test_a_number_that_changes_nothing_gets_nothing_and_the_rest_adds_up():
    integral, _ = found(lambda x: tf.sigmoid(x[:, 0, 0] * x[:, 1, 0] - x[:, 2, 1]), steps=20)
    assert (np.delete(integral.attributions.ravel(), [0, 2, 5]) == 0).all()
    difference = integral.output - integral.baseline_output
    assert integral.attributions.sum() == pytest.approx(difference, abs=1e-5)
