import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm.layers import KVCache, MultiHeadAttention
from keras_lm.layers.masks import places_mask

B, T, S, H, K, D = 2, 5, 7, 2, 4, 6


def normal(*shape):
    return keras.random.normal(shape)


def like_keras(num_heads, head_dim, width, cross=False, **options):
    """Our layer and Keras's with the same weights."""
    theirs = keras.layers.MultiHeadAttention(num_heads, head_dim, dropout=0.0)
    theirs.build((None, None, width), (None, None, width))
    weights = [keras.random.normal(w.shape) for w in theirs.weights]
    theirs.set_weights(weights)
    ours = MultiHeadAttention(
        num_heads, width, num_heads * head_dim, 0.0, cross_attention=cross, **options
    )
    ours.build((None, None, width))
    q, qb, k, kb, v, vb, o, ob = (np.asarray(w) for w in weights)
    flat = [w.reshape(width, -1) for w in (q, k, v)]
    bias = [b.reshape(-1) for b in (qb, kb, vb)]
    out = [o.reshape(-1, width), ob]
    if cross:
        joined = [np.concatenate(flat[1:], 1), np.concatenate(bias[1:])]
        ours.set_weights([flat[0], bias[0], *joined, *out])
    else:
        ours.set_weights([np.concatenate(flat, 1), np.concatenate(bias), *out])
    return ours, theirs


def test_self_attention_has_the_numbers_of_keras():
    ours, theirs = like_keras(H, K, D)
    x, mask = normal(B, T, D), np.random.default_rng(0).random((B, T, T)) < 0.7
    np.testing.assert_allclose(ours(x), theirs(x, x), atol=1e-5)
    np.testing.assert_allclose(
        ours(x, attention_mask=mask), theirs(x, x, attention_mask=mask), atol=1e-5
    )


@pytest.mark.parametrize("cross", [False, True])
def test_attention_to_another_sequence_has_the_numbers_of_keras(cross):
    ours, theirs = like_keras(H, K, D, cross)
    x, memory, keys = normal(B, T, D), normal(B, S, D), normal(B, S, D)
    np.testing.assert_allclose(ours(x, memory), theirs(x, memory), atol=1e-5)
    np.testing.assert_allclose(ours(x, memory, keys), theirs(x, memory, keys), atol=1e-5)


def test_causal_attention_has_the_numbers_of_keras():
    ours, theirs = like_keras(H, K, D, causal=True)
    x = normal(B, T, D)
    out, scores = ours(x, return_attention_scores=True)
    expected, their_scores = theirs(x, x, use_causal_mask=True, return_attention_scores=True)
    np.testing.assert_allclose(out, expected, atol=1e-5)
    np.testing.assert_allclose(scores, their_scores, atol=1e-5)


def test_the_parameters_are_those_of_the_paper_where_the_head_width_is_free():
    layer = MultiHeadAttention(num_heads=3, d_model=10, d_kv=12)
    layer.build((None, None, 10))
    assert layer.count_params() == 3 * (10 * 12 + 12) + 12 * 10 + 10


@pytest.mark.parametrize("window", [None, 1, 3])
def test_decoding_with_a_cache_equals_one_full_pass(window):
    layer = MultiHeadAttention(H, D, H * K, 0.0, causal=True, window=window)
    x = normal(B, T, D)
    full = layer(x)
    first, cache = layer(x[:, :2], cache=T + 3)
    steps = [first]
    for t in range(2, T):
        out, cache = layer(x[:, t : t + 1], cache=cache)
        steps.append(out)
    np.testing.assert_allclose(np.concatenate(steps, axis=1), full, atol=1e-5)
    np.testing.assert_array_equal(cache.position, [T] * B)


def test_each_row_of_a_cache_goes_on_at_its_own_position():
    layer = MultiHeadAttention(H, D, dropout_rate=0.0, causal=True)
    x = normal(B, T, D)
    lengths = [2, 4]
    _, cache = layer(x[:, :4], cache=8)
    cache = cache._replace(position=tf.constant(lengths))
    after, cache = layer(x[:, 4:5], cache=cache)
    for row, length in enumerate(lengths):
        alone = tf.concat([x[row : row + 1, :length], x[row : row + 1, 4:5]], axis=1)
        np.testing.assert_allclose(after[row, 0], layer(alone)[0, -1], atol=1e-5)
    np.testing.assert_array_equal(cache.position, [3, 5])


def test_several_tokens_can_follow_a_cache_at_once():
    layer = MultiHeadAttention(H, D, dropout_rate=0.0, causal=True)
    x = normal(B, T, D)
    _, cache = layer(x[:, :2], cache=T)
    rest, _ = layer(x[:, 2:], cache=cache)
    np.testing.assert_allclose(rest, layer(x)[:, 2:], atol=1e-5)


def test_a_cross_attention_makes_its_keys_and_values_once():
    layer = MultiHeadAttention(H, D, dropout_rate=0.0, cross_attention=True)
    x, memory = normal(B, T, D), normal(B, S, D)
    full, cache = layer(x, memory, cache=S)
    again, _ = layer(x[:, 3:4], cache=cache)
    np.testing.assert_allclose(again, full[:, 3:4], atol=1e-5)


def test_a_band_hides_what_is_far_away():
    layer = MultiHeadAttention(H, D, dropout_rate=0.0, window=2)
    _, scores = layer(normal(B, T, D), return_attention_scores=True)
    far = np.abs(np.arange(T)[:, None] - np.arange(T)[None]) >= 2
    assert np.all(np.asarray(scores)[:, :, far] == 0)
    assert np.all(np.asarray(scores)[:, :, ~far] > 0)


def test_what_is_padded_does_not_change_the_rest():
    layer = MultiHeadAttention(H, D, dropout_rate=0.0)
    x, noise = normal(B, T, D), normal(B, 2, D)
    padded = tf.concat([x, noise], axis=1)
    real = np.arange(T + 2)[None].repeat(B, 0) < T
    np.testing.assert_allclose(layer(padded, attention_mask=real)[:, :T], layer(x), atol=1e-5)


def test_a_query_that_may_see_nothing_stays_finite():
    layer = MultiHeadAttention(H, D)
    out = layer(normal(B, T, D), attention_mask=np.zeros((B, T, T), "bool"))
    assert np.all(np.isfinite(out))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_stays_close(policy):
    full = MultiHeadAttention(H, D, dropout_rate=0.0, causal=True)
    half = MultiHeadAttention(H, D, dropout_rate=0.0, causal=True, dtype=policy)
    x = normal(B, T, D)
    expected = full(x)
    half.build(x.shape)
    half.set_weights(full.get_weights())
    out, cache = half(x, cache=T)
    assert out.dtype == cache.keys.dtype == policy.removeprefix("mixed_")
    np.testing.assert_allclose(tf.cast(out, "float32"), expected, atol=3e-2)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_it_runs_in_a_graph_with_unknown_batch_and_length(jit_compile):
    layer = MultiHeadAttention(H, D, dropout_rate=0.0, causal=True)
    x = normal(B, T, D)
    expected = layer(x)

    @tf.function(input_signature=[tf.TensorSpec([None, None, D])], jit_compile=jit_compile)
    def run(x):
        first, cache = layer(x[:, :-1], cache=tf.shape(x)[1])
        last, _ = layer(x[:, -1:], cache=cache)
        return tf.concat([first, last], axis=1)

    np.testing.assert_allclose(run(x), expected, atol=1e-5)


def test_it_serializes():
    layer = MultiHeadAttention(
        3, D, 9, 0.2, causal=True, window=4, kernel_initializer=keras.initializers.Constant(0.5)
    )
    again = MultiHeadAttention.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    again.build((None, None, D))
    assert again.query_key_value.kernel.shape == (D, 27)
    assert np.all(again.query_key_value.kernel.numpy() == 0.5)


def test_projections_start_with_different_numbers():
    layer = MultiHeadAttention(H, D)
    layer.build((None, None, D))
    q, k, v = np.split(layer.query_key_value.kernel.numpy(), 3, axis=1)
    assert not np.allclose(q, k)
    assert not np.allclose(k, v)
    # Glorot's bound belongs to one projection, not to three side by side.
    assert np.abs(q).max() > np.sqrt(6 / (4 * D))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 5, "d_model": 8}, r"multiple of it\. Received: num_heads=5, d_kv=8"),
        ({"num_heads": 0, "d_model": 8}, "num_heads=0"),
        ({"num_heads": 2, "d_model": 8, "d_kv": 9}, "d_kv=9"),
        ({"num_heads": 2, "d_model": 8, "dropout_rate": 1.0}, r"in \[0, 1\)\. Received: 1.0"),
        ({"num_heads": 2, "d_model": 8, "window": 0}, "window=0"),
        ({"num_heads": 2, "d_model": 8, "causal": True, "cross_attention": True}, "causal=True"),
    ],
)
def test_sizes_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MultiHeadAttention(**arguments)


def test_a_mask_of_another_rank_is_refused():
    with pytest.raises(ValueError, match=r"Received: shape \(5,\)"):
        MultiHeadAttention(H, D)(normal(B, T, D), attention_mask=np.ones(5, "bool"))


def test_gradients_reach_every_weight():
    layer = MultiHeadAttention(H, D, causal=True)
    x = normal(B, T, D)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 2)
    gradients = tape.gradient(loss, layer.trainable_weights)
    if not layer.built:
        raise AssertionError
    assert [g is not None for g in gradients] == [True] * 4


def test_a_cache_is_a_nest_that_a_loop_can_carry():
    layer = MultiHeadAttention(H, D, dropout_rate=0.0, causal=True)
    x = normal(B, T, D)
    full = layer(x)
    _, cache = layer(x[:, :1], cache=T)

    @tf.function
    def run(cache):
        def body(t, cache, out):
            step, cache = layer(x[:, t : t + 1], cache=cache)
            return t + 1, cache, tf.tensor_scatter_nd_update(out, [[t]], step[:, 0][None])

        start = (tf.constant(1), cache, tf.zeros((T, B, D)))
        return tf.while_loop(lambda t, *_: t < T, body, start)

    _, cache, out = run(cache)
    assert isinstance(cache, KVCache)
    np.testing.assert_allclose(tf.transpose(out, [1, 0, 2])[:, 1:], full[:, 1:], atol=1e-5)


def test_masks_count_from_where_queries_and_keys_stand():
    found = places_mask(np.array([[1, 2]]), np.array([[0, 1, 2, -1]]), causal=True, window=None)
    np.testing.assert_array_equal(found, [[[True, True, False, False], [True, True, True, False]]])
    near = places_mask(np.array([[1]]), np.array([[0, 1, 2, 3]]), causal=False, window=2)
    np.testing.assert_array_equal(near, [[[True, True, True, False]]])


@pytest.mark.parametrize("cross", [False, True])
def test_an_empty_batch_has_an_empty_answer(cross):
    layer = MultiHeadAttention(2, 8, dropout_rate=0.0, cross_attention=cross)
    rows, mask = tf.zeros([0, 3, 8]), tf.zeros([0, 3], "bool")
    found = layer(rows, tf.zeros([0, 3, 8]) if cross else None, attention_mask=mask)
    assert found.shape == (0, 3, 8)
