"""Blocks that are computed again for the gradient train as blocks whose activations are kept."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from training_toys import Toy

import keras_lm
from keras_lm.layers import TransformerBlock

SIZES = {
    "vocab_size": 20,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "num_hidden_units": 32,
    "dropout_rate": 0.3,
    "max_length": 8,
}


def train(model_class, strategy=None, *, arguments=None, **compiled):
    keras.utils.set_random_seed(1)
    with strategy.scope() if strategy else contextlib.nullcontext():
        model = model_class(**{**SIZES, **(arguments or {})}, num_layers=2)
    model.compile(learning_rate=0.01, **compiled)
    ids = np.random.default_rng(0).integers(0, 20, (16, 8)).astype("int32")
    inputs = {"token_ids": ids}
    if model_class is keras_lm.Transformer:
        inputs["decoder_token_ids"] = ids
    else:
        inputs["padding_mask"] = np.arange(8)[None] < np.arange(16)[:, None] % 7 + 2
    data = tf.data.Dataset.from_tensor_slices((inputs, ids)).batch(8)
    history = model.fit(data, verbose=0)
    return model, history.history["loss"]


def assert_equal(kept, again):
    np.testing.assert_allclose(again[1], kept[1], atol=1e-6)
    for ours, theirs in zip(kept[0].weights, again[0].weights, strict=True):
        np.testing.assert_allclose(theirs.numpy(), ours.numpy(), atol=1e-6, err_msg=ours.path)


def test_dropout_and_gradients_are_those_of_blocks_that_keep():
    kept = train(keras_lm.BERT, run_eagerly=True)
    again = train(keras_lm.BERT, run_eagerly=True, recompute=True)
    assert_equal(kept, again)


def test_a_graph_computes_a_block_again_and_not_while_it_evaluates():
    block = TransformerBlock(2, 8, 16, dropout_rate=0.1)
    x_BTD = tf.random.stateless_normal([2, 4, 8], [1, 2])
    block(x_BTD)
    block.recompute = True
    products = {}
    for training in (True, False):

        @tf.function
        def gradient(training=training):
            with tf.GradientTape() as tape:
                tape.watch(x_BTD)
                loss = tf.reduce_sum(block(x_BTD, training=training))
            return tape.gradient(loss, [x_BTD, *block.trainable_weights])

        operations = gradient.get_concrete_function().graph.get_operations()
        products[training] = sum("MatMul" in op.type for op in operations)
    # Four products of the block's kernels and two of its attention.
    assert products[True] == products[False] + 6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model_class", "compiled"),
    [
        (keras_lm.GPT, {}),
        (keras_lm.Transformer, {}),
        (keras_lm.GPT, {"gradient_accumulation_steps": 2}),
        (keras_lm.GPT, {"jit_compile": True}),
    ],
)
def test_models_train_as_those_that_keep(model_class, compiled):
    assert_equal(train(model_class, **compiled), train(model_class, recompute=True, **compiled))


@pytest.mark.slow
def test_replicas_train_as_those_that_keep(replicas):
    assert_equal(train(keras_lm.GPT, replicas), train(keras_lm.GPT, replicas, recompute=True))


@pytest.mark.slow
def test_all_of_it_together_trains_on_replicas_as_on_one_device(replicas):
    compiled = {"gradient_accumulation_steps": 2, "recompute": True, "jit_compile": True}
    exact = {**compiled, "arguments": {"dropout_rate": 0.0}}
    assert_equal(train(keras_lm.BERT, **exact), train(keras_lm.BERT, replicas, **exact))
    half = {**compiled, "arguments": {"dropout_rate": 0.0, "dtype": "mixed_bfloat16"}}
    _, ours = train(keras_lm.BERT, **half)
    model, theirs = train(keras_lm.BERT, replicas, **half)
    np.testing.assert_allclose(theirs, ours, rtol=0.02)
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}


def test_a_model_without_blocks_has_nothing_to_compute_again():
    with pytest.raises(ValueError, match="recompute is for models made of"):
        Toy().compile(recompute=True)
