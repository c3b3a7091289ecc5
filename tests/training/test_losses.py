import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm.training.losses import token_cross_entropy, yes_no_cross_entropy

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


@pytest.mark.parametrize("share", [0.1, 0.7])
def test_smoothed_labels_cost_what_keras_says_of_one_hot_labels(share):
    logits, labels = logits_and_labels()
    logits = tf.Variable(logits)
    reference = keras.losses.CategoricalCrossentropy(True, share, reduction=None)
    with tf.GradientTape(persistent=True) as tape:
        ours, _ = token_cross_entropy(labels, logits, label_smoothing=share)
        theirs = reference(tf.one_hot(labels, V), logits)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    gradients = [tf.convert_to_tensor(tape.gradient(loss, logits)) for loss in (ours, theirs)]
    np.testing.assert_allclose(*gradients, atol=1e-6)


def test_smoothed_labels_of_whole_rows_cost_what_they_do_alone():
    logits, labels = logits_and_labels()
    whole, _ = token_cross_entropy(labels, logits, label_smoothing=0.2)
    rows, _ = token_cross_entropy(labels[:, 0], logits[:, 0], label_smoothing=0.2)
    np.testing.assert_allclose(rows, whole[:, 0], rtol=1e-6)


@pytest.mark.parametrize("dtype", [bool, "int32"])
def test_answers_of_yes_and_no_cost_their_log_likelihood(dtype):
    logits, labels = logits_and_labels()
    logits, labels = logits[..., 0], labels > 2
    loss, weight = yes_no_cross_entropy(labels.astype(dtype), logits)
    likelihood = 1 / (1 + np.exp(np.where(labels, -logits, logits)))
    np.testing.assert_allclose(loss, -np.log(likelihood), rtol=1e-5)
    np.testing.assert_array_equal(weight, np.ones((B, T)))


def test_an_answer_of_no_weight_may_be_neither():
    logits, weights = np.ones((1, 2), "float32"), np.array([[1.0, 0.0]], "float32")
    loss, weight = yes_no_cross_entropy([[1, -100]], logits, weights)
    np.testing.assert_allclose(loss * weight, [[np.log1p(np.exp(-1.0)), 0.0]], rtol=1e-6)


def test_answers_of_another_rank_raise():
    with pytest.raises(ValueError, match=r"shape of the logits\. .*\(1, 2, 1\)"):
        yes_no_cross_entropy(np.ones((1, 2)), np.ones((1, 2, 1)))
