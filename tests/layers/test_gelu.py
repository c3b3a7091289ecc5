"""GELUs of training: the numbers and derivatives of TensorFlow's."""

import numpy as np
import pytest
import tensorflow as tf

from keras_lm.layers import TransformerBlock, gelu
from keras_lm.layers.dense import Dense

X = np.concatenate([np.linspace(-9, 9, 181), [-1e4, -30.0, 0.0, 30.0, 1e4]])


def derivatives(function, x):
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        first = tape.gradient(y, x)
    return y, first, outer.gradient(first, x)


@pytest.mark.parametrize(("ours", "approximate"), [(gelu.gelu, False), (gelu.gelu_tanh, True)])
def test_values_and_derivatives_are_those_of_tensorflow(ours, approximate):
    found = derivatives(ours, tf.constant(X, tf.float32))
    exact = derivatives(lambda x: tf.nn.gelu(x, approximate), tf.constant(X, tf.float64))
    for one, other, atol in zip(found, exact, (3e-6, 3e-6, 2e-5), strict=True):
        np.testing.assert_allclose(one, np.nan_to_num(other), atol=atol, rtol=1e-6)
    small = np.abs(X) < 200  # the square of more than 255 is no float16
    half = derivatives(ours, tf.constant(X[small], tf.float16))
    for one, other in zip(half[:2], exact[:2], strict=True):
        np.testing.assert_allclose(one, other[small], atol=0.01, rtol=2e-3)


def test_a_block_in_training_takes_them_and_inference_what_is_fused():
    layer, block = Dense(4, "gelu"), TransformerBlock(1, 4, 4, dropout_rate=0.0)
    x = tf.random.stateless_normal([2, 3, 4], [1, 2])
    for made in (layer, block):
        made(x)

        @tf.function
        def run(training, made=made):
            return made(x, training=training)

        kinds = {}
        for training in (True, False):
            graph = run.get_concrete_function(training).graph
            kinds[training] = [op.type for op in graph.get_operations()]
        assert "IdentityN" in kinds[True]
        assert "IdentityN" not in kinds[False]
        np.testing.assert_allclose(run(True), run(False), atol=1e-6)
