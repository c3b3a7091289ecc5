"""Batches of changing shape go through `fit`, on one device and on several."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm.data import seq2seq
from keras_lm.training import LanguageModel

V = 40


@keras.saving.register_keras_serializable("keras_lm_tests")
class Reader(LanguageModel):
    """The decoder's tokens and the mean of the source's: enough to tell what stands there."""

    def __init__(self, vocab_size=V, hidden_size=8, *, heads=("causal_lm",), **kwargs):
        super().__init__(heads=heads, **kwargs)
        self.source = keras.layers.Embedding(vocab_size, hidden_size, name="source")
        self.target = keras.layers.Embedding(vocab_size, hidden_size, name="target")
        self.dense = keras.layers.Dense(vocab_size, name="dense")
        self.hidden_size = hidden_size

    def build(self, input_shape=None):
        self.source.build(None)
        self.target.build(None)
        self.dense.build((None, None, self.hidden_size))

    def call(self, inputs, training=None):
        mask_BS1 = tf.cast(inputs["padding_mask"], tf.float32)[..., None]
        total_B1D = tf.reduce_sum(self.source(inputs["token_ids"]) * mask_BS1, 1, keepdims=True)
        return self.dense(self.target(inputs["decoder_token_ids"]) + total_B1D)


def pairs(number=240):
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, V - 5, rng.integers(1, 9)) for _ in range(number)]
    return [(" ".join(f"w{i}" for i in row), " ".join(f"w{i}" for i in row[::-1])) for row in rows]


def train(numbered, strategy=None, epochs=2):
    keras.utils.set_random_seed(1)
    arguments = {"tokens_per_batch": 40, "num_buckets": 3}
    data = seq2seq(None, numbered, pairs=pairs(), **arguments)
    with strategy.scope() if strategy else contextlib.nullcontext():
        model = Reader()
        model.build(None)
    model.compile(learning_rate=0.03)
    held_out = seq2seq(None, numbered, pairs=pairs()[:50], drop_remainder=False, **arguments)
    history = model.fit(data, epochs=epochs, validation_data=held_out, verbose=0).history
    return data, model, history


def test_fit_takes_batches_of_changing_shape_and_lowers_the_loss(numbered):
    data, model, history = train(numbered)
    assert len({bucket[:3] for bucket in data.buckets}) == 3
    assert history["loss"][1] < 0.9 * history["loss"][0]
    assert int(model.optimizer.iterations) == 2 * data.steps_per_epoch


@pytest.mark.slow
def test_two_replicas_train_as_one_device_does(replicas, numbered):
    data, one, alone = train(numbered, epochs=1)
    _, two, together = train(numbered, replicas, epochs=1)
    assert any(bucket.batch_size % 2 for bucket in data.buckets), "replicas get unequal parts"
    for ours, theirs in zip(one.weights, two.weights, strict=True):
        np.testing.assert_allclose(theirs.numpy(), ours.numpy(), atol=1e-5, err_msg=ours.path)
    np.testing.assert_allclose(together["val_loss"], alone["val_loss"], rtol=1e-5)
