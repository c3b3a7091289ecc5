"""Products of few rows are the products that they replace, however many rows there are."""

import numpy as np
import pytest
import tensorflow as tf

from keras_lm.layers import products
from keras_lm.layers.dense import Dense
from keras_lm.layers.products import few_by_kernel, few_by_table

D, F, V = 6, 5, 10


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """What is small here is large enough to be put otherwise, and no table is too short."""
    monkeypatch.setattr(products, "_LARGE", 1)
    monkeypatch.setattr(products, "_PIECE", 4)


def random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("known", [True, False])
def test_rows_by_a_kernel(known):
    kernel, bias = random(D, F), random(F)
    sizes = [0, 1, 3]
    found = [
        tf.function(
            lambda rows: few_by_kernel(rows, tf.constant(kernel), lambda x: tf.nn.relu(x + bias)),
            input_signature=[tf.TensorSpec([n if known else None, D])],
        )(random(n, D))
        for n in sizes
    ]
    for n, product in zip(sizes, found, strict=True):
        np.testing.assert_allclose(product, np.maximum(random(n, D) @ kernel + bias, 0), atol=1e-6)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_rows_by_a_table_in_pieces(n):
    found = few_by_table(tf.constant(random(n, D)), tf.constant(random(V, D)))
    np.testing.assert_allclose(found, random(n, D) @ random(V, D).T, atol=1e-6)


def test_one_position_of_each_row_goes_through_a_dense_layer_as_all_do():
    layer = Dense(F, "gelu")
    x = random(3, 4, D)
    step = tf.function(layer, input_signature=[tf.TensorSpec([None, 1, D])])
    for rows in (x, x[:1]):
        steps = [step(rows[:, t : t + 1]) for t in range(4)]
        np.testing.assert_allclose(np.concatenate(steps, 1), layer(rows), atol=1e-6)
