import numpy as np
import pytest
import tensorflow as tf

from keras_lm.training.losses import token_cross_entropy

B, T, V = 2, 3, 5


def logits_and_labels():
    random = np.random.default_rng(0)
    return random.normal(size=(B, T, V)).astype("float32"), random.integers(0, V, (B, T))


def by_hand(logits, labels):
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return -np.take_along_axis(log_p, labels[..., None], -1)[..., 0]


def test_without_weights_every_label_counts_one():
    logits, labels = logits_and_labels()
    loss, weight = token_cross_entropy(labels, logits)
    np.testing.assert_allclose(loss, by_hand(logits, labels), rtol=1e-5)
    np.testing.assert_array_equal(weight, np.ones((B, T)))


def test_a_label_of_no_weight_may_be_no_class():
    logits, labels = logits_and_labels()
    weights = np.array([[1, 0, 2], [0, 1, 1]], "float32")
    loss, weight = token_cross_entropy(np.where(weights > 0, labels, -100), logits, weights)
    assert np.isfinite(loss).all()
    expected = by_hand(logits, labels) * weights
    np.testing.assert_allclose(loss * weight, expected, rtol=1e-5)


def test_weights_of_rows_hold_for_their_tokens():
    logits, labels = logits_and_labels()
    _, weight = token_cross_entropy(labels, logits, np.array([0.5, 2.0], "float32"))
    np.testing.assert_array_equal(weight, [[0.5] * T, [2.0] * T])


def test_half_precision_logits_are_summed_in_float32():
    logits, labels = logits_and_labels()
    loss, _ = token_cross_entropy(labels, tf.cast(logits, tf.bfloat16))
    assert loss.dtype == tf.float32


def test_labels_of_another_rank_raise():
    logits, labels = logits_and_labels()
    with pytest.raises(ValueError, match="without the last dimension"):
        token_cross_entropy(labels[..., None], logits)
