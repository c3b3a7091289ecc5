import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm.layers import MultiHeadAttention, TransformerBlock
from keras_lm.layers.banded import keys_of_block
from keras_lm.layers.masks import document_mask

B, H, D = 2, 2, 8
# Blocks of 32: a query sees into two of its neighbours.
WINDOW = 40
# Nothing, shorter than a block, than the window; one more than a block; whole blocks; neither.
LENGTHS = [0, 1, 31, 33, 64, 131]
LONG = 170
BOTH = pytest.mark.parametrize("causal", [True, False])


def normal(*shape):
    return keras.random.normal(shape)


def banded(causal, **options):
    layer = MultiHeadAttention(H, D, dropout_rate=0.0, causal=causal, window=WINDOW, **options)
    layer.build((None, None, D))
    return layer


def full(layer, x, **options):
    """The same layer; it computes the masked full matrix where its scores are asked for."""
    return layer(x, return_attention_scores=True, **options)[0]


def value_and_gradient(call, x):
    weight = tf.cos(tf.cast(tf.range(tf.size(x)), "float32"))
    with tf.GradientTape() as tape:
        tape.watch(x)
        out = call(x)
        loss = tf.reduce_sum(tf.reshape(out, [-1]) * weight)
    return out, tape.gradient(loss, x)


@BOTH
@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_numbers_are_those_of_the_masked_full_matrix_at_any_length(causal, jit_compile):
    layer = banded(causal)
    graph = tf.function(
        lambda x: value_and_gradient(layer, x),
        input_signature=[tf.TensorSpec([None, None, D])],
        jit_compile=jit_compile,
    )
    # XLA compiles anew for every length.
    for length in LENGTHS[-1:] if jit_compile else LENGTHS:
        x = normal(B, length, D)
        expected = value_and_gradient(lambda x: full(layer, x), x)
        for ours, theirs in zip(graph(x), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


@BOTH
@pytest.mark.parametrize("length", [95, 97, LONG])
def test_the_numbers_are_those_of_keras_where_the_length_is_known(causal, length):
    layer = banded(causal)
    theirs = keras.layers.MultiHeadAttention(H, D // H)
    theirs.build((None, None, D), (None, None, D))
    kernels = np.split(layer.query_key_value.kernel.numpy(), 3, axis=1)
    heads = [x for kernel in kernels for x in (kernel.reshape(D, H, -1), np.zeros((H, D // H)))]
    out = layer.output_projection.kernel.numpy().reshape(H, D // H, D)
    theirs.set_weights([*heads, out, np.zeros(D)])
    distance = np.arange(length)[:, None] - np.arange(length)
    near = np.abs(distance) < WINDOW
    if causal:
        near &= distance >= 0
    x = normal(B, length, D)
    np.testing.assert_allclose(layer(x), theirs(x, x, attention_mask=near[None]), atol=1e-6)


@BOTH
def test_no_tensor_grows_with_the_square_of_the_length(causal):
    layer = banded(causal)

    def largest(length):
        graph = tf.function(lambda x: value_and_gradient(layer, x))
        operations = graph.get_concrete_function(tf.TensorSpec([1, length, D])).graph
        sizes = [
            output.shape.num_elements()
            for operation in operations.get_operations()
            for output in operation.outputs
        ]
        return max(size for size in sizes if size is not None)

    keys = keys_of_block(WINDOW, causal)
    assert largest(32 * 64) <= H * 32 * 64 * keys
    assert largest(32 * 64) == 4 * largest(32 * 16)


@BOTH
@pytest.mark.parametrize("rank", [2, 3, 4, "keras"])
def test_padding_masks_hide_keys_in_every_form(causal, rank):
    layer, x = banded(causal), normal(B, LONG, D)
    real = np.arange(LONG) < np.array([[LONG], [97]])
    options = {"mask": tf.constant(real)}
    if rank != "keras":
        options = {"attention_mask": real.reshape(B, *[1] * (rank - 2), LONG)}
    expected = full(layer, x, attention_mask=real)
    found = layer(x, **options)
    for row, length in enumerate((LONG, 97)):
        np.testing.assert_allclose(found[row, :length], expected[row, :length], atol=1e-6)


def test_a_mask_that_is_repeated_along_the_keys_is_one_of_all_keys():
    layer, x = banded(True), normal(B, LONG, D)
    np.testing.assert_allclose(
        layer(x, attention_mask=np.ones((1, 1), "bool")), layer(x), atol=1e-6
    )


@BOTH
def test_a_mask_of_each_query_is_honoured(causal):
    layer, x = banded(causal), normal(B, LONG, D)
    plain = MultiHeadAttention(H, D, dropout_rate=0.0)
    plain.build(x.shape)
    plain.set_weights(layer.get_weights())
    distance = np.arange(LONG)[:, None] - np.arange(LONG)
    seen = np.random.default_rng(0).random((B, LONG, LONG)) < 0.7
    seen |= np.eye(LONG, dtype="bool")
    near = (distance < WINDOW) & (distance >= 0) if causal else np.abs(distance) < WINDOW
    np.testing.assert_allclose(
        layer(x, attention_mask=seen), plain(x, attention_mask=seen & near), atol=1e-6
    )


@BOTH
def test_documents_in_one_row_do_not_see_each_other(causal):
    layer, x = banded(causal), normal(B, LONG, D)
    # Borders within and between blocks, a document longer than the window, and an id that returns.
    ids = tf.constant([[3] * 20 + [0] * 12 + [7] * 100 + [3] * 38, [0] * 64 + [1] * 106])
    expected = full(layer, x, attention_mask=document_mask(ids))
    np.testing.assert_allclose(layer(x, document_ids=ids), expected, atol=1e-6)
    np.testing.assert_allclose(full(layer, x, document_ids=ids), expected, atol=1e-6)
    assert np.abs(layer(x) - expected).max() > 1e-2


def test_a_dense_layer_takes_document_ids_too():
    layer, x = MultiHeadAttention(H, D, dropout_rate=0.0), normal(B, 6, D)
    ids = np.array([[0, 0, 1, 1, 1, 1], [5, 5, 5, 5, 2, 2]])
    within = ids[:, :, None] == ids[:, None]
    np.testing.assert_allclose(
        layer(x, document_ids=ids), layer(x, attention_mask=within), atol=1e-6
    )


def test_a_block_passes_document_ids_on():
    block = TransformerBlock(H, D, 16, 0.0, causal=True, window=WINDOW)
    x, ids = normal(1, LONG, D), np.array([[0] * 90 + [1] * 80])
    np.testing.assert_allclose(block(x, document_ids=ids)[:, 90:], block(x[:, 90:]), atol=1e-5)


@pytest.mark.parametrize("options", [{"cross_attention": True}, {}])
def test_document_ids_are_refused_where_keys_have_none(options):
    layer, x = MultiHeadAttention(H, D, **options), normal(B, 3, D)
    with pytest.raises(ValueError, match="document_ids are for a self-attention"):
        layer(x, normal(B, 3, D), document_ids=np.zeros((B, 3), "int32"))


def test_dropout_acts_on_the_weights_while_training_alone():
    layer = MultiHeadAttention(H, D, dropout_rate=0.5, causal=True, window=WINDOW)
    x = normal(B, LONG, D)
    np.testing.assert_array_equal(layer(x), layer(x, training=False))
    # A query that sees itself alone keeps its value, doubled, or loses it.
    layer.set_weights([tf.eye(D, 3 * D).numpy() * 0, np.ones(3 * D), np.eye(D), np.zeros(D)])
    first = layer(x, training=True)[:, 0]
    assert set(np.unique(first)) <= {0.0, 2.0}
    assert np.unique(layer(x, training=True)).size > 2


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_stays_close(policy):
    layer, half, x = banded(True), banded(True, dtype=policy), normal(B, LONG, D)
    half.set_weights(layer.get_weights())
    out = half(x)
    assert out.dtype == policy.removeprefix("mixed_")
    np.testing.assert_allclose(tf.cast(out, "float32"), layer(x), atol=3e-2)


def test_a_query_that_may_see_nothing_stays_finite():
    out = banded(True)(normal(B, LONG, D), attention_mask=np.zeros((B, LONG), "bool"))
    assert np.all(np.isfinite(out))
