import keras
import numpy as np
import pytest

from keras_lm.training import Perplexity

V = 5


def test_uniform_logits_have_the_number_of_classes_as_perplexity():
    metric = Perplexity()
    metric.update_state(np.zeros((2, 3), "int32"), np.zeros((2, 3, V), "float32"))
    assert metric.result().numpy() == pytest.approx(V, rel=1e-6)


def test_the_mean_is_over_tokens_and_not_over_batches():
    random = np.random.default_rng(0)
    metric, total, count = Perplexity(), 0.0, 0.0
    for rows in (1, 4):
        logits = random.normal(size=(rows, 3, V)).astype("float32")
        labels = random.integers(0, V, (rows, 3))
        weights = random.integers(0, 2, (rows, 3)).astype("float32")
        metric.update_state(labels, logits, weights)
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        loss = -np.take_along_axis(log_p, labels[..., None], -1)[..., 0]
        total, count = total + (loss * weights).sum(), count + weights.sum()
    assert metric.result().numpy() == pytest.approx(np.exp(total / count), rel=1e-5)


def test_a_label_of_no_weight_does_not_count():
    metric = Perplexity()
    metric.update_state(np.array([[0, -100]]), np.zeros((1, 2, V), "float32"), np.array([[1.0, 0]]))
    assert metric.result().numpy() == pytest.approx(V, rel=1e-6)


def test_it_is_restored_from_its_config():
    restored = keras.metrics.deserialize(keras.metrics.serialize(Perplexity(name="ppl")))
    assert isinstance(restored, Perplexity)
    assert restored.name == "ppl"
