import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm.layers import Dense, MaskedLMHead, ReplacedTokenHead, TokenEmbedding
from keras_lm.layers.masks import document_positions

B, T, P, D, V = 2, 5, 3, 8, 11


def test_dense_has_the_numbers_of_keras():
    ours, theirs = Dense(6, "tanh"), keras.layers.Dense(6, "tanh")
    x = keras.random.normal((B, T, D))
    theirs.build(x.shape)
    theirs.bias.assign(keras.random.normal((6,)))
    ours.build(x.shape)
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-6)
    np.testing.assert_allclose(ours(x[0]), theirs(x[0]), atol=1e-6)


def test_some_columns_are_a_part_of_all():
    layer = Dense(6)
    x = keras.random.normal((B * T, D))
    whole = layer(x)
    np.testing.assert_allclose(layer.columns(x, 2, 5), whole[:, 2:5], atol=1e-6)


def test_logits_are_products_with_the_table():
    layer = TokenEmbedding(V, D)
    vector = layer(np.array([[1, 10]]))
    np.testing.assert_array_equal(vector[0], layer.embeddings.numpy()[[1, 10]])
    expected = vector.numpy() @ layer.embeddings.numpy().T
    np.testing.assert_allclose(layer.logits(vector), expected, atol=1e-6)


def test_both_uses_of_the_table_train_it():
    layer = TokenEmbedding(V, D)
    layer.build()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer.logits(layer(np.array([3]))) ** 2)
    gradient = tf.convert_to_tensor(tape.gradient(loss, layer.trainable_weights[0].value))
    # Looked up: row 3; multiplied: all rows.
    assert np.all(np.abs(gradient).sum(1) > 0)


def test_logits_are_float32_under_mixed_precision():
    layer = TokenEmbedding(V, D, dtype="mixed_bfloat16")
    hidden = layer(np.array([1]))
    assert hidden.dtype == "bfloat16"
    assert layer.logits(hidden).dtype == "float32"


def test_the_head_predicts_at_the_given_positions_only():
    tokens, head = TokenEmbedding(V, D), MaskedLMHead(V)
    tokens.build()
    hidden = keras.random.normal((B, T, D))
    head.build(hidden.shape)
    head.bias.assign(keras.random.normal((V,)))
    everywhere = head(hidden, tokens=tokens)
    positions = np.array([[0, 2, 4], [1, 1, 3]])
    there = head(hidden, positions, tokens=tokens)
    assert there.shape == (B, P, V)
    expected = np.take_along_axis(np.asarray(everywhere), positions[:, :, None], 1)
    np.testing.assert_allclose(there, expected, atol=1e-5)


def test_the_head_has_the_parameters_of_bert():
    head = MaskedLMHead(V)
    head.build((None, None, D))
    assert head.count_params() == D * D + D + 2 * D + V


def test_the_head_can_end_in_another_width_than_it_begins():
    tokens, head = TokenEmbedding(V, 5), MaskedLMHead(V, size=5)
    tokens.build()
    assert head(keras.random.normal((B, T, D)), tokens=tokens).shape == (B, T, V)
    assert head.count_params() == D * 5 + 5 + 2 * 5 + V


def test_the_head_of_a_discriminator_has_one_logit_for_each_token():
    head = ReplacedTokenHead("tanh")
    hidden = keras.random.normal((B, T, D))
    logits = head(hidden)
    assert logits.dtype == "float32"
    inner = np.tanh(hidden @ head.dense.kernel)
    np.testing.assert_allclose(logits, (inner @ head.output_projection.kernel)[..., 0], atol=1e-5)
    assert head.count_params() == D * D + D + D + 1


def test_positions_restart_with_each_document():
    ids = np.array([[4, 4, 4, 2, 2, 9], [1, 1, 1, 1, 1, 1]])
    np.testing.assert_array_equal(document_positions(ids), [[0, 1, 2, 0, 1, 0], [0, 1, 2, 3, 4, 5]])


@pytest.mark.parametrize(
    ("layer", "arguments", "message"),
    [
        (Dense, {"units": 0}, "units=0"),
        (Dense, {"units": 4, "parts": 3}, "parts=3"),
        (Dense, {"units": 4, "activation": "gelu_erf"}, "'gelu_erf'"),
        (TokenEmbedding, {"vocab_size": 0, "size": 3}, "vocab_size=0"),
    ],
)
def test_what_cannot_be_is_refused(layer, arguments, message):
    with pytest.raises(ValueError, match=message):
        layer(**arguments)


@pytest.mark.parametrize(
    "layer",
    [
        Dense(4, "gelu", kernel_initializer="zeros"),
        TokenEmbedding(V, D),
        MaskedLMHead(V, "relu", size=3),
        ReplacedTokenHead("relu"),
    ],
)
def test_layers_serialize(layer):
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
