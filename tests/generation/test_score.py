import numpy as np
import tensorflow as tf

from keras_lm.generation import log_likelihood


def reference(logits, labels, lengths):
    logits = logits.astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    rows = zip(log_p, labels, lengths, strict=True)
    return [sum(p[t, label[t]] for t in range(length)) for p, label, length in rows]


def test_it_is_the_sum_over_the_labels_that_count():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 5, 7)).astype(np.float32)
    labels = rng.integers(0, 7, (3, 5))
    lengths = [5, 2, 0]
    got = tf.function(log_likelihood)(logits, labels, tf.constant(lengths))
    assert got.dtype == tf.float32
    np.testing.assert_allclose(got, reference(logits, labels, lengths), rtol=1e-6)


def test_what_stands_behind_a_length_does_not_matter():
    logits = np.zeros((1, 3, 4), np.float32)
    spoilt = logits.copy()
    spoilt[:, 1:] = np.nan
    got = log_likelihood(spoilt, tf.constant([[2, -1, 99]]), tf.constant([1]))
    np.testing.assert_allclose(got, [-np.log(4)], rtol=1e-6)


def test_a_forbidden_label_has_no_likelihood_and_forbidden_others_no_share():
    logits = tf.constant([[[0.0, 0.0, -np.inf]]] * 2)
    got = log_likelihood(logits, tf.constant([[2], [1]]), tf.constant([1, 1]))
    np.testing.assert_allclose(got, [-np.inf, -np.log(2)], rtol=1e-6)


def test_half_precision_logits_are_summed_in_float32():
    logits = tf.zeros((1, 1000, 2), tf.bfloat16)
    got = log_likelihood(logits, tf.zeros((1, 1000), tf.int32), tf.constant([1000]))
    np.testing.assert_allclose(got, [-1000 * np.log(2)], rtol=1e-5)
