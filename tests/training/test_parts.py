"""A batch computed in parts, or by XLA in each replica, equals one computed at once."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_distribution import BATCH, assert_equal, assert_equal_weights, batches, train
from training_toys import Toy, both_heads, masked_rows

from keras_lm.training import AdamW, SampledSoftmax

IN_PARTS = {"gradient_accumulation_steps": 3}
HEADS = {
    "heads": ("masked_lm", "next_sentence"),
    "penalty": 0.1,
    "optimizer": lambda: AdamW(0.01, global_clipnorm=0.1),
}


@pytest.fixture(scope="module")
def whole():
    """Batches at once on one device, of which one leaves parts and replicas without a row."""
    return train(None, both_heads, sizes=(BATCH, 7, 1), **HEADS)


def test_parts_on_one_device_equal_the_whole(whole):
    in_parts = train(None, both_heads, sizes=(BATCH, 7, 1), compiled=IN_PARTS, **HEADS)
    assert_equal(whole, in_parts)
    data = batches(both_heads, (BATCH,), seed=5)
    ours, theirs = (m[0].evaluate(data, verbose=0, return_dict=True) for m in (whole, in_parts))
    assert theirs == pytest.approx(ours, abs=1e-6)


def test_parts_on_two_replicas_equal_the_whole(whole, replicas):
    two = train(replicas, both_heads, sizes=(BATCH, 7, 1), compiled=IN_PARTS, **HEADS)
    assert_equal_weights(whole[0], two[0])
    np.testing.assert_allclose(two[2], whole[2], atol=1e-6)


@pytest.mark.slow
def test_metrics_of_a_step_in_parts_are_those_of_the_whole():
    inputs, labels, weights = masked_rows(12)
    shown = []
    for parts in (1, 4):
        keras.utils.set_random_seed(3)
        model = Toy()
        model.compile(learning_rate=0.01, gradient_accumulation_steps=parts)
        fit = model.fit(inputs, labels, sample_weight=weights, shuffle=False, verbose=0)
        shown.append({name: values[0] for name, values in fit.history.items()})
    assert shown[1] == pytest.approx(shown[0], abs=1e-6)


def test_a_loss_of_keras_and_a_sampled_softmax_go_in_parts():
    inputs, labels, _ = masked_rows(8)
    for loss in (
        {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True)},
        {"sampled_softmax": SampledSoftmax(5, "uniform")},
    ):
        weights = []
        for parts in (1, 3):
            keras.utils.set_random_seed(3)
            model = Sampled()
            model.compile(AdamW(0.01), gradient_accumulation_steps=parts, run_eagerly=True, **loss)
            model.fit(inputs, labels, batch_size=8, verbose=0)
            weights.append(model.get_weights())
        for one, other in zip(*weights, strict=True):
            np.testing.assert_allclose(other, one, atol=1e-6)


class Sampled(Toy):
    SAMPLED_HEADS = ("masked_lm",)

    def call(self, inputs, training=None, logits=True):
        if logits:
            return super().call(inputs, training)
        hidden_BTD = self.norm(self.blocks[0](self.tokens(inputs["token_ids"])))
        return tf.gather(hidden_BTD, inputs["masked_positions"], axis=1, batch_dims=1)

    def head_table(self, head):
        layer = self.outputs_by_head[head]
        return tf.transpose(layer.kernel), layer.bias


def test_a_weight_that_nothing_uses_is_left_alone_in_parts():
    class Spare(Toy):
        def build(self, input_shape=None):
            super().build()
            self.spare = self.add_weight(shape=(2,), initializer="ones", name="spare")

    model = Spare()
    model.compile(AdamW(0.1, weight_decay=0.5), gradient_accumulation_steps=2)
    inputs, labels, weights = masked_rows(8)
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        model.fit(inputs, labels, sample_weight=weights, verbose=0)
    np.testing.assert_array_equal(model.spare.numpy(), 1.0)


@pytest.mark.slow
def test_xla_in_each_replica_equals_one_device(replicas):
    one = train(None, masked_rows, sizes=(BATCH,) * 2)
    two = train(replicas, masked_rows, sizes=(BATCH,) * 2, compiled={"jit_compile": True})
    assert_equal(one, two)


@pytest.mark.slow
def test_xla_and_parts_and_odd_batches_equal_the_whole(whole, replicas):
    compiled = {**IN_PARTS, "jit_compile": True}
    assert_equal(whole, train(None, both_heads, sizes=(BATCH, 7, 1), compiled=compiled, **HEADS))
    two = train(replicas, both_heads, sizes=(BATCH, 7, 1), compiled=compiled, **HEADS)
    assert_equal_weights(whole[0], two[0])


def test_a_file_restores_in_how_many_parts_a_batch_is_computed(tmp_path):
    model = Toy()
    model.compile("sgd", gradient_accumulation_steps=4)
    model.save(tmp_path / "toy.keras")
    assert keras.models.load_model(tmp_path / "toy.keras").gradient_accumulation_steps == 4


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"gradient_accumulation_steps": 0}, "positive int. Received: .*=0"),
        ({"gradient_accumulation_steps": 2.0}, "positive int"),
        (
            {
                "gradient_accumulation_steps": 2,
                "optimizer": AdamW(0.1, gradient_accumulation_steps=3),
            },
            "Either compile.*or the optimizer",
        ),
        (
            {
                "gradient_accumulation_steps": 2,
                "loss": keras.losses.SparseCategoricalCrossentropy(reduction="sum"),
            },
            "means over rows.*'sum'",
        ),
        ({"jit_compile": True, "run_eagerly": True}, "XLA compiles graphs"),
    ],
)
def test_what_cannot_go_in_parts_raises(arguments, rule):
    with pytest.raises(ValueError, match=rule):
        Toy().compile(**arguments)


def test_an_epoch_is_made_of_whole_executions():
    model = Toy()
    model.compile(steps_per_execution=2)
    data = batches(masked_rows, (4,)).repeat()
    with pytest.raises(ValueError, match=r"multiple of steps_per_execution.*3 steps"):
        model.fit(data, steps_per_epoch=3, verbose=0)
