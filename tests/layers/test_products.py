"""Products of few rows are the products that they replace, however many rows there are."""

import numpy as np
import pytest
import tensorflow as tf

from keras_lm.layers import products
from keras_lm.layers.dense import Dense
from keras_lm.layers.products import few_by_kernel, few_by_table, one_by_each, softmax_of_one

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


@pytest.mark.parametrize("size", [3, 4, 8, V])
def test_rows_by_a_table_in_pieces(size):
    table = tf.constant(random(size, D))
    spec = tf.TensorSpec([None, D])
    unknown = tf.function(lambda rows: few_by_table(rows, table), input_signature=[spec])
    for n in (0, 1, 3, 4, 9):
        rows = random(n, D)
        for found in (few_by_table(tf.constant(rows), table), unknown(rows)):
            np.testing.assert_allclose(found, rows @ table.numpy().T, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("transposed", [True, False])
def test_one_row_by_each_matrix(dtype, transposed):
    row, matrices = random(2, 3, 1, D), random(2, 3, D, F)
    other = np.swapaxes(matrices, 2, 3) if transposed else matrices
    found = one_by_each(tf.cast(row, dtype), tf.cast(other, dtype), transpose_b=transposed)
    assert found.dtype == dtype
    rounding = 1e-6 if dtype == "float32" else 0.1
    np.testing.assert_allclose(tf.cast(found, "float32"), row @ matrices, atol=rounding)


def test_a_softmax_of_one_row_is_the_softmax():
    # Masked, all equal, far apart.
    scores = np.array([[[0, 1, -1e9]], [[-1e9] * 3], [[1e4, -1e4, 0]]], "float32")[:, None]
    np.testing.assert_allclose(softmax_of_one(scores), tf.nn.softmax(scores), atol=1e-7)


def test_one_position_of_each_row_goes_through_a_dense_layer_as_all_do():
    layer = Dense(F, "gelu")
    x = random(3, 4, D)
    step = tf.function(layer, input_signature=[tf.TensorSpec([None, 1, D])])
    for rows in (x, x[:1]):
        steps = [step(rows[:, t : t + 1]) for t in range(4)]
        np.testing.assert_allclose(np.concatenate(steps, 1), layer(rows), atol=1e-6)
