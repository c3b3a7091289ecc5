import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm.layers import TransformerBlock

B, T, S, D = 2, 5, 7, 8


def block(**options):
    return TransformerBlock(2, D, 16, 0.0, kernel_initializer="random_normal", **options)


def normal(*shape):
    return keras.random.normal(shape)


def test_post_norm_normalizes_each_sum():
    layer, x = block(norm="post"), normal(B, T, D)
    found = layer(x)
    y = layer.attention_norm(x + layer.attention(x))
    expected = layer.feed_forward_norm(y + layer.feed_forward_out(layer.feed_forward_in(y)))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_pre_norm_normalizes_what_a_sublayer_reads():
    layer, x = block(norm="pre"), normal(B, T, D)
    found = layer(x)
    y = x + layer.attention(layer.attention_norm(x))
    expected = y + layer.feed_forward_out(layer.feed_forward_in(layer.feed_forward_norm(y)))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_a_causal_block_decodes_with_a_cache_as_in_one_pass(norm):
    layer, x = block(norm=norm, causal=True), normal(B, T, D)
    first, cache = layer(x[:, :3], cache=T)
    rest, _ = layer(x[:, 3:], cache=cache)
    np.testing.assert_allclose(np.concatenate([first, rest], 1), layer(x), atol=1e-5)


def test_a_block_with_a_memory_decodes_with_a_pair_of_caches():
    layer = block(causal=True, cross_attention=True)
    x, memory = normal(B, T, D), normal(B, S, D)
    real = np.arange(S)[None] < np.array([[S], [3]])
    full = layer(x, memory, memory_mask=real)
    first, cache = layer(x[:, :3], memory, memory_mask=real, cache=(T, S))
    rest, _ = layer(x[:, 3:], memory_mask=real, cache=cache)
    np.testing.assert_allclose(np.concatenate([first, rest], 1), full, atol=1e-5)


def test_what_is_masked_in_the_memory_does_not_count():
    layer = block(cross_attention=True)
    x, memory = normal(B, T, D), normal(B, S, D)
    real = np.arange(S)[None].repeat(B, 0) < 4
    np.testing.assert_allclose(
        layer(x, memory, memory_mask=real), layer(x, memory[:, :4]), atol=1e-5
    )


def test_attention_scores_can_be_asked_for():
    layer, x = block(causal=True), normal(B, T, D)
    out, scores = layer(x, return_attention_scores=True)
    np.testing.assert_allclose(out, layer(x), atol=1e-6)
    np.testing.assert_allclose(np.sum(scores, -1), np.ones((B, 2, T)), atol=1e-5)


@pytest.mark.parametrize(("name", "exact"), [("gelu", True), ("gelu_tanh", False)])
def test_the_two_gelus_are_different_functions(name, exact):
    layer = block(activation=name)
    layer.build((None, None, D))
    x = np.linspace(-3, 3, 50, dtype="float32")
    expected = tf.nn.gelu(x, approximate=not exact)
    np.testing.assert_allclose(layer.feed_forward_in.activation(tf.constant(x)), expected)
    other = tf.nn.gelu(x, approximate=exact)
    assert np.abs(expected - other).max() > 1e-4


def test_dropout_acts_while_training_alone():
    layer = TransformerBlock(2, D, 16, 0.5)
    x = normal(B, T, D)
    np.testing.assert_array_equal(layer(x), layer(x, training=False))
    assert np.abs(layer(x, training=True) - layer(x)).max() > 1e-2


def test_it_serializes_and_keeps_its_dtype_policy():
    layer = block(norm="pre", causal=True, cross_attention=True, dtype="mixed_bfloat16")
    again = TransformerBlock.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.attention.query_key_value.compute_dtype == "bfloat16"
    out = again(normal(B, T, D), normal(B, S, D))
    assert out.dtype == "bfloat16"


@pytest.mark.parametrize("jit_compile", [False, True])
def test_it_runs_in_a_graph_with_unknown_batch_and_length(jit_compile):
    layer, x = block(causal=True), normal(B, T, D)
    expected = layer(x)
    signature = [tf.TensorSpec([None, None, D])]
    run = tf.function(layer, input_signature=signature, jit_compile=jit_compile)
    np.testing.assert_allclose(run(x), expected, atol=1e-5)


def test_an_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="Received: 'middle'"):
        block(norm="middle")
