"""The operations that the formula counts are those of the products in the graph."""

import numpy as np
import pytest
import tensorflow as tf

import keras_lm
from keras_lm.training.step_counts import real_tokens, training_flops

B, T, S, P = 2, 8, 6, 3
SIZES = {"vocab_size": 50, "hidden_size": 12, "num_layers": 2, "num_attention_heads": 3}
SIZES |= {"num_hidden_units": 20, "max_length": 16}


def products(model, inputs):
    """Multiplications and additions of every matrix product in the graph of a call."""
    graph = tf.function(lambda x: model(x)).get_concrete_function(inputs).graph
    graphs = [graph, *(f.graph for f in graph._functions.values() if hasattr(f, "graph"))]
    total = 0
    for operation in (op for g in graphs for op in g.get_operations()):
        if operation.type in ("MatMul", "BatchMatMulV2"):
            transposed = operation.get_attr(
                "transpose_a" if operation.type == "MatMul" else "adj_x"
            )
            inner = operation.inputs[0].shape[-2 if transposed else -1]
            total += 2 * inner * np.prod(operation.outputs[0].shape.as_list())
    return total


def ids(*shape):
    return tf.zeros(shape, tf.int32)


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (lambda: keras_lm.BERT(**SIZES), ("token_ids", "masked_positions")),
        (lambda: keras_lm.GPT(**SIZES), ("token_ids",)),
        (
            lambda: keras_lm.ELECTRA(**SIZES, embedding_size=8, heads=("replaced_token",)),
            ("token_ids",),
        ),
        pytest.param(
            lambda: keras_lm.ELECTRAPretrainer(**SIZES, embedding_size=8),
            ("token_ids", "masked_positions"),
            marks=pytest.mark.slow,
        ),
        (lambda: keras_lm.Transformer(**SIZES), ("token_ids", "decoder_token_ids")),
    ],
    ids=["BERT", "GPT", "ELECTRA", "ELECTRAPretrainer", "Transformer"],
)
def test_flops_are_three_times_those_of_the_forward_pass(model, inputs):
    shapes = {"token_ids": (B, T), "masked_positions": (B, P), "decoder_token_ids": (B, S)}
    inputs = {name: ids(*shapes[name]) for name in inputs}
    model = model()
    model.build()
    assert float(training_flops(model, inputs)) == 3 * products(model, inputs)


def test_a_banded_layer_counts_its_window():
    model = keras_lm.GPT(**SIZES, window=3)
    dense = keras_lm.GPT(**SIZES)
    for one in (model, dense):
        one.build()
    inputs = {"token_ids": ids(B, T)}
    difference = float(training_flops(dense, inputs) - training_flops(model, inputs))
    assert difference == 12 * 12 * (T - 3) * B * T


def test_padding_is_no_token_and_costs_nothing():
    mask = tf.sequence_mask([T, 2], T)
    assert float(real_tokens({"token_ids": ids(B, T), "padding_mask": mask})) == T + 2
    assert float(real_tokens(ids(B, T))) == B * T
    pair = {"token_ids": ids(B, T), "decoder_token_ids": ids(B, S)}
    assert float(real_tokens({**pair, "decoder_padding_mask": tf.ones((B, S), "bool")})) == 28
    assert float(real_tokens({"pixels": tf.zeros((2, 2))})) == 0
    model = keras_lm.GPT(**SIZES)
    model.build()
    half = {"token_ids": ids(B, T), "padding_mask": tf.sequence_mask([T, 0], T)}
    whole = training_flops(model, {"token_ids": ids(1, T)})
    # The head works on every position that is a token.
    assert float(training_flops(model, half)) == float(whole)
