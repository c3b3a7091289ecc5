"""Tokens: each of them to a class."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from task_toys import V, bert, rows

from keras_lm import TokenClassifier


def test_padding_and_negative_labels_never_count():
    inputs = rows(4)
    task = TokenClassifier(bert(), 3)
    task.compile()
    outputs = task(inputs).numpy()
    labels = inputs["token_ids"] % 3
    labels[0, 0] = -100
    weights = np.random.default_rng(0).random((4, 7)).astype("float32")
    log = outputs - np.log(np.exp(outputs).sum(-1, keepdims=True))
    losses = -np.take_along_axis(log, np.maximum(labels, 0)[..., None], -1)[..., 0]
    right = outputs.argmax(-1) == labels
    for given in (None, weights, weights[:, 0]):
        w = np.ones((4, 7)) if given is None else given.reshape(4, -1) * np.ones((4, 7))
        w = w * inputs["padding_mask"] * (labels >= 0)
        loss = float(task.compute_loss(inputs, labels, outputs, given))
        assert loss == pytest.approx((losses * w).sum() / w.sum(), abs=1e-6)
        task.reset_metrics()
        accuracy = float(task.compute_metrics(inputs, labels, outputs, given)["accuracy"])
        assert accuracy == pytest.approx((right * w).sum() / w.sum(), abs=1e-6)


def test_labels_that_cannot_be_are_refused_before_the_training():
    task, inputs = TokenClassifier(bert(), 3), rows(4)
    task.compile()
    with pytest.raises(ValueError, match="labels from -100 to 3"):
        task.fit(inputs, np.array([[0, 3, -100, 0, 0, 0, 0]] * 4))
    with pytest.raises(ValueError, match="at least 2 different names"):
        TokenClassifier(bert(), ["O"])


@pytest.fixture(scope="module")
def one_device():
    return train(None)


def train(strategy):
    """Two epochs of uneven batches: the rows of one replica have far more padding."""
    inputs = rows(24)
    inputs["padding_mask"] &= (np.arange(24)[:, None] % 4 < 2) | (np.arange(7)[None] < 2)
    labels = inputs["token_ids"] % 3
    batches = tf.data.Dataset.from_tensor_slices((inputs, labels)).batch(8).repeat(12)
    keras.utils.set_random_seed(3)
    with strategy.scope() if strategy else contextlib.nullcontext():
        task = TokenClassifier(bert(), ["x", "y", "z"])
        task.build()
    task.compile(learning_rate=1e-2)
    return task, task.fit(batches, verbose=0).history


def test_classes_of_tokens_are_learnt(one_device):
    task, _ = one_device
    ids = np.arange(V)[:, None]
    assert (task(ids).numpy()[:, 0].argmax(-1) == ids[:, 0] % 3).mean() > 0.9


@pytest.mark.slow
def test_two_replicas_equal_one_device(one_device, replicas):
    task, history = train(replicas)
    for name, values in one_device[1].items():
        np.testing.assert_allclose(history[name], values, rtol=1e-4, err_msg=name)
    for ours, theirs in zip(one_device[0].weights, task.weights, strict=True):
        np.testing.assert_allclose(theirs.numpy(), ours.numpy(), atol=2e-4, err_msg=ours.path)
