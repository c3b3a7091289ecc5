import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm.layers import PositionalEncoding
from keras_lm.layers.positions import Sinusoids

B, T, D = 2, 5, 6


def test_sinusoids_are_those_of_the_paper():
    added = np.asarray(PositionalEncoding(T, "sinusoidal")(np.zeros((1, T, D), "float32")))[0]
    for position in range(T):
        for i in range(D // 2):
            angle = position / 10_000 ** (2 * i / D)
            assert added[position, 2 * i] == pytest.approx(math.sin(angle), abs=1e-6)
            assert added[position, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-6)


def test_an_odd_width_has_one_sine_more():
    layer = PositionalEncoding(T, "sinusoidal")
    added = np.asarray(layer(np.zeros((1, T, 7), "float32")))[0]
    assert added.shape == (T, 7)
    assert added[1, 0] == pytest.approx(math.sin(1))
    assert added[1, 6] == pytest.approx(math.sin(1 / 10_000 ** (6 / 7)))


def test_sinusoids_have_no_weights():
    layer = PositionalEncoding(T, "sinusoidal")
    layer.build((B, T, D))
    assert layer.count_params() == 0


def test_learned_positions_are_rows_of_a_table():
    layer = PositionalEncoding(8)
    x = keras.random.normal((B, T, D))
    np.testing.assert_allclose(layer(x), x + layer.embeddings[:T], atol=1e-6)


@pytest.mark.parametrize("kind", ["learned", "sinusoidal"])
def test_each_row_can_begin_at_an_offset_of_its_own(kind):
    layer = PositionalEncoding(8, kind)
    zeros = np.zeros((1, 8, D), "float32")
    table = np.asarray(layer(zeros))[0]
    found = np.asarray(layer(np.zeros((2, 3, D), "float32"), offset=np.array([0, 4])))
    np.testing.assert_allclose(found, np.stack([table[:3], table[4:7]]), atol=1e-6)


@pytest.mark.parametrize("kind", ["learned", "sinusoidal"])
def test_positions_can_be_given_one_by_one(kind):
    layer = PositionalEncoding(8, kind)
    table = np.asarray(layer(np.zeros((1, 8, D), "float32")))[0]
    positions = np.array([[0, 1, 0, 1, 2]])
    found = layer(np.zeros((1, T, D), "float32"), positions=positions)
    np.testing.assert_allclose(found, table[positions], atol=1e-6)


@pytest.mark.parametrize("kind", ["learned", "sinusoidal"])
def test_another_width_is_projected(kind):
    layer = PositionalEncoding(8, kind, 4)
    x = np.zeros((1, T, D), "float32")
    found = layer(x)
    narrow = layer._encoding(tf.range(T)[None])
    assert narrow.shape == (1, T, 4)
    np.testing.assert_allclose(found, narrow @ layer.projection.kernel, atol=1e-6)


def test_it_runs_in_a_graph_with_unknown_batch_and_length():
    layer = PositionalEncoding(8, "sinusoidal", 4)
    x = np.ones((B, T, D), "float32")
    run = tf.function(layer, input_signature=[tf.TensorSpec([None, None, D])])
    np.testing.assert_allclose(run(x), layer(x), atol=1e-6)


def test_it_serializes():
    layer = PositionalEncoding(8, "learned", 4)
    assert PositionalEncoding.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_length": 0}, "max_length=0"),
        ({"max_length": 4, "size": 0}, "size=0"),
        ({"max_length": 4, "kind": "rotary"}, "Received: 'rotary'"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PositionalEncoding(**arguments)


def test_an_input_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match=r"max_length=4 positions. Received: 5"):
        PositionalEncoding(4)(np.zeros((1, 5, D), "float32"))


def test_a_learned_table_can_begin_with_sinusoids():
    begun = PositionalEncoding(8, embeddings_initializer=Sinusoids())
    fixed = PositionalEncoding(8, "sinusoidal")
    zeros = np.zeros((1, 8, 7), "float32")
    np.testing.assert_allclose(begun(zeros), fixed(zeros), atol=1e-6)
    assert len(begun.trainable_weights) == 1


def test_the_projection_has_an_initializer_of_its_own():
    layer = PositionalEncoding(
        8, size=4, embeddings_initializer=Sinusoids(), projection_initializer="ones"
    )
    layer.build((None, None, D))
    np.testing.assert_array_equal(layer.projection.kernel, np.ones((4, D)))
