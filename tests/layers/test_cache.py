"""What a cache holds, and that decoding with one equals full passes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm.layers import KVCache, MultiHeadAttention, StartCache, TransformerBlock
from keras_lm.layers.cache import blank, extend_cache, slot_positions, start_cache

B, H, D, WINDOW = 3, 2, 8, 4
PROMPT, TOTAL = 7, 24  # tokens; the ring comes round several times
# One row shorter than the window, one of its length, one longer.
LENGTHS = np.array([2, 4, 7], "int32")


def normal(*shape):
    return keras.random.normal(shape)


def layer_of(window, **options):
    return MultiHeadAttention(H, D, dropout_rate=0.0, causal=True, window=window, **options)


def padded(x):
    """The prompts, noise behind them; and a function that gives what follows, each row's own."""
    real = np.arange(PROMPT)[None, :, None] < LENGTHS[:, None, None]
    prompts = tf.where(real, x[:, :PROMPT], 100.0)

    def following(t, n=1):
        return tf.stack([x[row, length + t :][:n] for row, length in enumerate(LENGTHS)])

    return prompts, following


@pytest.mark.parametrize("window", [None, 1, WINDOW])
@pytest.mark.parametrize("chunks", [[1] * 17, [2, 3, 1, 5, 6]])
def test_rows_of_different_lengths_decode_as_in_full_passes(window, chunks):
    layer, x = layer_of(window), normal(B, TOTAL, D)
    full = layer(x)
    prompts, following = padded(x)
    first, cache = layer(prompts, cache=StartCache(TOTAL, LENGTHS))
    for row, length in enumerate(LENGTHS):
        np.testing.assert_allclose(first[row, :length], full[row, :length], atol=1e-5)
    t = 0
    for n in chunks:
        out, cache = layer(following(t, n), cache=cache)
        for row, length in enumerate(LENGTHS):
            expected = full[row, length + t : length + t + n]
            np.testing.assert_allclose(out[row], expected, atol=1e-5)
        t += n
    np.testing.assert_array_equal(cache.position, LENGTHS + t)


@pytest.mark.parametrize(("window", "slots"), [(None, TOTAL), (WINDOW, WINDOW), (50, TOTAL)])
def test_a_banded_layer_caches_no_more_than_its_window(window, slots):
    layer, x = layer_of(window), normal(B, PROMPT, D)
    _, cache = layer(x, cache=StartCache(TOTAL))
    assert cache.keys.shape == cache.values.shape == (B, H, slots, D // H)
    _, cache = layer(x, cache=cache)
    assert cache.keys.shape == cache.values.shape == (B, H, slots, D // H)


def test_a_ring_holds_the_last_of_each_rows_real_positions():
    layer, x = layer_of(WINDOW), normal(B, PROMPT, D)
    _, ring = layer(x, cache=StartCache(TOTAL, LENGTHS))
    _, every = layer_of_same_weights(layer)(x, cache=StartCache(TOTAL, LENGTHS))
    for row, places in enumerate([[0, 1], [0, 1, 2, 3], [4, 5, 6, 3]]):
        for slot, place in enumerate(places):
            np.testing.assert_array_equal(ring.keys[row, :, slot], every.keys[row, :, place])
            np.testing.assert_array_equal(ring.values[row, :, slot], every.values[row, :, place])


@pytest.mark.parametrize("window", [None, WINDOW])
def test_what_stands_behind_a_row_is_not_kept(window):
    keys = tf.constant(np.full((B, H, PROMPT, 2), np.nan, "float32"))
    keys = tf.where(np.arange(PROMPT)[:, None] < LENGTHS[:, None, None, None], 1.0, keys)
    cache = start_cache(keys, keys, StartCache(TOTAL, LENGTHS), window)
    kept = [min(length, window or TOTAL) for length in LENGTHS]
    for part in (cache.keys, cache.values):
        np.testing.assert_array_equal(tf.reduce_sum(part, [1, 2, 3]), [2.0 * H * n for n in kept])


def layer_of_same_weights(layer):
    dense = layer_of(None)
    dense.build((None, None, D))
    dense.set_weights(layer.get_weights())
    return dense


def test_slots_tell_which_position_they_hold():
    found = slot_positions(tf.constant([-1, 0, 2, 9]), 4)
    expected = [[-4, -3, -2, -1], [0, -3, -2, -1], [0, 1, 2, -1], [8, 9, 6, 7]]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("window", [None, WINDOW])
@pytest.mark.parametrize("known", [True, False])
def test_a_loop_carries_the_cache_at_its_shape(window, known):
    layer, x = layer_of(window), normal(B, TOTAL, D)
    full = layer(x)
    steps = TOTAL - PROMPT
    size = [B, PROMPT, D] if known else [None, None, D]

    @tf.function(input_signature=[tf.TensorSpec(size), tf.TensorSpec([], "int32")])
    def run(prompts, length):
        _, cache = layer(prompts, cache=StartCache(TOTAL if known else length, LENGTHS))
        slots = WINDOW if window else TOTAL
        if known:
            assert cache.keys.shape == (B, H, slots, D // H)

        def body(t, cache, out):
            token = tf.gather(x, LENGTHS + t, batch_dims=1)[:, None]
            step, cache = layer(token, cache=cache)
            return t + 1, cache, tf.tensor_scatter_nd_update(out, [[t]], step[:, 0][None])

        start = (tf.constant(0), cache, tf.zeros((steps, B, D)))
        return tf.while_loop(lambda t, *_: t < steps, body, start)

    _, cache, out = run(padded(x)[0], TOTAL)
    assert isinstance(cache, KVCache)
    for row, length in enumerate(LENGTHS):
        np.testing.assert_allclose(out[:, row], full[row, length : length + steps], atol=1e-5)


@pytest.mark.parametrize("window", [None, WINDOW])
def test_a_step_has_no_operation_that_copies_the_cache(window):
    layer = layer_of(window)
    layer.build((None, None, D))
    slots = WINDOW if window else TOTAL
    buffer = tf.TensorSpec([B, H, slots, D // H])
    cache = KVCache(buffer, buffer, tf.TensorSpec([B], "int32"))
    step = tf.function(lambda x, cache: layer(x, cache=cache))
    graph = step.get_concrete_function(tf.TensorSpec([B, 1, D]), cache).graph
    kinds = {
        operation.type
        for operation in graph.get_operations()
        for output in operation.outputs
        if output.dtype.size * (output.shape.num_elements() or 0) == 4 * B * H * slots * D // H
    }
    # Measured: where nobody else holds the buffer these leave it where it is. Not so on a CPU what
    # tf.tensor_scatter_nd_update makes.
    assert kinds == {"Placeholder", "Reshape", "Bitcast", "ScatterNdNonAliasingAdd", "Identity"}


def test_what_a_caller_still_holds_is_not_written_to():
    layer, x = layer_of(WINDOW), normal(B, TOTAL, D)
    _, cache = layer(x[:, :PROMPT], cache=TOTAL)
    before = [part.numpy().copy() for part in tf.nest.flatten(cache)]
    once, _ = layer(x[:, PROMPT : PROMPT + 1], cache=cache)
    again, _ = layer(x[:, PROMPT : PROMPT + 1], cache=cache)
    np.testing.assert_array_equal(once, again)
    for ours, theirs in zip(tf.nest.flatten(cache), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_xla_compiles_a_ring():
    layer, x = layer_of(WINDOW), normal(B, PROMPT, D)

    @tf.function(input_signature=[tf.TensorSpec([B, None, D])], jit_compile=True)
    def run(x):
        first, cache = layer(x[:, :4], cache=StartCache(tf.shape(x)[1]))
        rest, cache = layer(x[:, 4:6], cache=cache)
        last, _ = layer(x[:, 6:], cache=cache)
        return tf.concat([first, rest, last], 1)

    np.testing.assert_allclose(run(x), layer(x), atol=1e-5)


def test_a_number_starts_a_cache_for_rows_of_one_length():
    layer, x = layer_of(WINDOW), normal(B, PROMPT, D)
    _, by_number = layer(x, cache=TOTAL)
    _, by_name = layer(x, cache=StartCache(TOTAL, [PROMPT] * B))
    for ours, theirs in zip(by_number, by_name, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_mask_of_positions_finds_them_in_a_ring():
    layer, x = layer_of(WINDOW), normal(B, TOTAL, D)
    hidden = np.ones((B, TOTAL), "bool")
    hidden[:, [0, 3, 8, 9, 17]] = False
    _, cache = layer(x[:, :PROMPT], attention_mask=hidden[:, :PROMPT], cache=TOTAL)
    steps = []
    for t in range(PROMPT, TOTAL):
        out, cache = layer(x[:, t : t + 1], attention_mask=hidden, cache=cache)
        steps.append(out)
    # A query always sees something: no window of four is hidden.
    expected = layer(x, attention_mask=hidden)[:, PROMPT:]
    np.testing.assert_allclose(np.concatenate(steps, 1), expected, atol=1e-5)


@pytest.mark.parametrize("window", [None, WINDOW])
def test_a_block_starts_a_cache_with_each_rows_length(window):
    block = TransformerBlock(H, D, 16, 0.0, norm="pre", causal=True, window=window)
    x = normal(B, TOTAL, D)
    prompts, following = padded(x)
    _, cache = block(prompts, cache=StartCache(TOTAL, LENGTHS))
    out, cache = block(following(0), cache=cache)
    full = block(x)
    for row, length in enumerate(LENGTHS):
        np.testing.assert_allclose(out[row, 0], full[row, length], atol=1e-5)
    np.testing.assert_array_equal(cache.position, LENGTHS + 1)


def test_half_precision_is_kept_in_a_ring():
    layer = layer_of(WINDOW, dtype="mixed_bfloat16")
    x = normal(B, PROMPT, D)
    first, cache = layer(x[:, :5], cache=TOTAL)
    rest, cache = layer(x[:, 5:], cache=cache)
    assert cache.keys.dtype == rest.dtype == "bfloat16"
    found = tf.cast(tf.concat([first, rest], 1), "float32")
    np.testing.assert_allclose(found, tf.cast(layer(x), "float32"), atol=3e-2)


SPARE = 3


@pytest.mark.parametrize("window", [None, 1, WINDOW, 50])
@pytest.mark.parametrize("known", [True, False])
def test_what_is_taken_back_is_forgotten(window, known):
    layer, x = layer_of(window), normal(B, TOTAL + SPARE, D)
    full = layer(x)
    length, spare = (TOTAL + SPARE, SPARE) if known else tf.unstack([TOTAL + SPARE, SPARE])
    prompts, following = padded(x)
    _, cache = layer(prompts, cache=StartCache(length, LENGTHS, spare))
    t, rng = np.zeros(B, "int32"), np.random.default_rng(0)
    # Each row goes on by its own number of steps; what it reads behind them is wrong.
    for n in [1, 4, 2, 1, 4, 4, 3, 1, 4]:
        right = np.minimum(rng.integers(1, n + 1, B), 17 - t)
        wrong = np.arange(n)[None, :, None] >= right[:, None, None]
        new = np.stack([following(t[row], n)[row] for row in range(B)])
        out, cache = layer(np.where(wrong, 50.0, new), cache=cache)
        cache = cache._replace(position=cache.position - (n - right))
        for row, place in enumerate(LENGTHS + t):
            expected = full[row, place : place + right[row]]
            np.testing.assert_allclose(out[row, : right[row]], expected, atol=1e-5)
        t += right
    assert min(t) > 12  # the ring has come round


@pytest.mark.parametrize("window", [None, WINDOW])
def test_an_infinity_is_written_over_and_blanked(window):
    layer, x = layer_of(window), normal(B, TOTAL, D)
    full = layer(x)
    _, cache = layer(x[:, :PROMPT], cache=StartCache(TOTAL, None, SPARE))
    _, cache = layer(tf.fill([B, 3, D], np.inf), cache=cache)
    counts = tf.constant([3, 3, 2])
    parts = [blank(part, cache.position, counts) for part in cache[:2]]
    for part in parts:
        assert tf.reduce_all(tf.math.is_finite(part[:2]))
        assert not tf.reduce_all(tf.math.is_finite(part[2]))
    out, _ = layer(x[:, PROMPT:9], cache=KVCache(*parts, cache.position - 3))
    np.testing.assert_allclose(out[:2], full[:2, PROMPT:9], atol=1e-5)
    # What is written over an infinity is what stands there then.
    _, again = layer(x[:, PROMPT:10], cache=cache._replace(position=cache.position - 3))
    for part in again[:2]:
        assert tf.reduce_all(tf.math.is_finite(part))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("width", [3, 4])
def test_any_number_is_written_exactly(dtype, width):
    values = (
        np.random.default_rng(0).normal(size=(2, 2, 5, width)) * 10.0 ** np.arange(-3, 2)[:, None]
    )
    old, new = tf.cast(values, dtype), tf.cast(values[:, :, ::-1] / 3, dtype)
    cache = KVCache(old, -old, tf.constant([1, 4]))
    _, _, _, cache = extend_cache(cache, new[:, :, :3], -new[:, :, :3], window=9)
    for row, slots in enumerate([[1, 2, 3], [4, 0, 1]]):
        for i, slot in enumerate(slots):
            np.testing.assert_array_equal(cache.keys[row, :, slot], new[row, :, i])
            np.testing.assert_array_equal(cache.values[row, :, slot], -new[row, :, i])


def test_document_ids_are_refused_behind_a_cache():
    layer, x = layer_of(WINDOW), normal(B, 2, D)
    ids = np.zeros((B, 2), "int32")
    _, cache = layer(x, document_ids=ids, cache=TOTAL)
    with pytest.raises(ValueError, match="cache=KVCache"):
        layer(x, document_ids=ids, cache=cache)
