import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm.training import AdamW

RATE, B1, B2, EPSILON = 0.1, 0.9, 0.99, 1e-6


def adam_in_numpy(weight, gradients, decay=0.0):
    """Kingma and Ba 2015, arXiv:1412.6980, with the epsilon of the end of its section 2."""
    m, v = np.zeros_like(weight), np.zeros_like(weight)
    for t, g in enumerate(gradients, start=1):
        weight = weight - RATE * decay * weight
        m, v = B1 * m + (1 - B1) * g, B2 * v + (1 - B2) * g * g
        rate = RATE * np.sqrt(1 - B2**t) / (1 - B1**t)
        weight = weight - rate * m / (np.sqrt(v) + EPSILON)
    return weight


def train(optimizer, ids, steps=3):
    """Minimizes the sum of rows of a table, some of them repeated; returns table and gradients."""
    table = keras.Variable(np.linspace(-1, 1, 12).reshape(4, 3).astype("float32"), name="table")
    scale = tf.constant([[1.0, -2.0, 3.0]])
    for _ in range(steps):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.gather(table.value, ids) * scale)
        gradient = tape.gradient(loss, table.value)
        assert isinstance(gradient, tf.IndexedSlices)
        optimizer.apply([gradient], [table])
    dense = np.zeros((4, 3), "float32")
    np.add.at(dense, ids, scale.numpy())
    return table.numpy(), dense


def ours(**kwargs):
    return AdamW(RATE, beta_1=B1, beta_2=B2, epsilon=EPSILON, **{"weight_decay": 0.0, **kwargs})


IDS = np.array([0, 0, 0, 1, 3, 3])
START = np.linspace(-1, 1, 12).reshape(4, 3).astype("float32")


def test_repeated_ids_make_the_step_of_their_sum():
    # The steps differ in size, or Adam would hide a wrong scale: the second one has other ids.
    optimizer = ours()
    table = keras.Variable(START, name="table")
    gradients = []
    for ids in (IDS, np.array([0, 1, 1, 2]), IDS):
        slices = tf.IndexedSlices(tf.ones([len(ids), 3]), tf.constant(ids), tf.constant([4, 3]))
        optimizer.apply([slices], [table])
        gradients.append(np.zeros((4, 3), "float32"))
        np.add.at(gradients[-1], ids, 1.0)
    np.testing.assert_allclose(table.numpy(), adam_in_numpy(START, gradients), atol=1e-6)


def test_weight_decay_is_apart_from_the_moments():
    table, gradient = train(ours(weight_decay=0.2), IDS)
    expected = adam_in_numpy(START, [gradient] * 3, decay=0.2)
    np.testing.assert_allclose(table, expected, atol=1e-6)


def sgd_like(**clip):
    # The first moment after one step is a tenth of the clipped gradient.
    optimizer = ours(**clip)
    train(optimizer, IDS, steps=1)
    moment = next(v for v in optimizer.variables if v.path.endswith("momentum"))
    return moment.numpy() / (1 - B1)


def test_clipping_sees_the_sum_of_repeated_ids():
    _, gradient = train(ours(), IDS, steps=1)
    norm = np.linalg.norm(gradient)
    np.testing.assert_allclose(sgd_like(global_clipnorm=2.0), gradient * 2 / norm, atol=1e-5)
    np.testing.assert_allclose(sgd_like(clipnorm=2.0), gradient * 2 / norm, atol=1e-5)
    np.testing.assert_allclose(sgd_like(clipvalue=2.5), np.clip(gradient, -2.5, 2.5), atol=1e-5)


def decayed(optimizer, names):
    """Says which weights shrink under a gradient of zero."""
    weights = [keras.Variable(tf.ones([2, 2]), name=name) for name in names]
    optimizer.build(weights)
    optimizer.apply([tf.zeros([2, 2])] * len(weights), weights)
    return [name for name, w in zip(names, weights, strict=True) if w.numpy()[0, 0] < 1]


NAMES = ["kernel", "bias", "gamma", "beta", "embeddings", "position_embeddings"]


def test_biases_normalizations_and_embeddings_do_not_decay():
    assert decayed(ours(weight_decay=0.1), NAMES) == ["kernel"]


def test_what_does_not_decay_can_be_said():
    optimizer = ours(weight_decay=0.1, no_decay=("kernel",))
    assert decayed(optimizer, NAMES) == NAMES[1:]
    optimizer = ours(weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["gamma"])
    assert decayed(optimizer, NAMES) == [name for name in NAMES if name != "gamma"]


def test_a_restored_optimizer_leaves_the_same_weights_alone():
    config = keras.optimizers.serialize(ours(weight_decay=0.1, no_decay=("kernel",)))
    restored = keras.optimizers.deserialize(config)
    assert isinstance(restored, AdamW)
    assert decayed(restored, NAMES) == NAMES[1:]


def test_an_unknown_argument_raises():
    with pytest.raises(ValueError, match="clip_norm"):
        AdamW(RATE, clip_norm=1.0)
