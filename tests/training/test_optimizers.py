import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm.training import LAMB, AdamW
from keras_lm.training.layer_rates import layer_rates

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


def lamb_in_numpy(weight, gradients, decay, adapts=True):
    """You et al. 2020, arXiv:1904.00962, algorithm 2, with the identity for phi."""
    m, v = np.zeros_like(weight), np.zeros_like(weight)
    for t, g in enumerate(gradients, start=1):
        m, v = B1 * m + (1 - B1) * g, B2 * v + (1 - B2) * g * g
        update = m / (1 - B1**t) / (np.sqrt(v / (1 - B2**t)) + EPSILON)
        if adapts:
            update += decay * weight
            update *= np.linalg.norm(weight) / np.linalg.norm(update)
        weight = weight - RATE * update
    return weight


def lamb(**kwargs):
    return LAMB(RATE, beta_1=B1, beta_2=B2, epsilon=EPSILON, **kwargs)


def test_lamb_is_the_papers():
    table, gradient = train(lamb(weight_decay=0.2), IDS)
    np.testing.assert_allclose(table, lamb_in_numpy(START, [gradient] * 3, 0.2), atol=1e-6)
    spared, _ = train(lamb(weight_decay=0.2, no_decay=("table",)), IDS)
    expected = lamb_in_numpy(START, [gradient] * 3, 0.2, adapts=False)
    np.testing.assert_allclose(spared, expected, atol=1e-6)


def test_lamb_without_decay_is_that_of_keras():
    gradient = START[::-1] ** 2 - 0.3
    tables = []
    for optimizer in (
        lamb(weight_decay=0.0, global_clipnorm=1.0),
        keras.optimizers.Lamb(RATE, beta_1=B1, beta_2=B2, epsilon=EPSILON, global_clipnorm=1.0),
    ):
        table = keras.Variable(START, name="table")
        for _ in range(3):
            optimizer.apply([tf.constant(gradient)], [table])
        tables.append(table.numpy())
    np.testing.assert_allclose(*tables, atol=1e-6)


def test_lamb_is_restored():
    config = keras.optimizers.serialize(lamb(weight_decay=0.1, no_decay=("kernel",)))
    restored = keras.optimizers.deserialize(config)
    assert isinstance(restored, LAMB)
    assert restored.get_config() == {**restored.get_config(), **config["config"]}
    assert restored.no_decay == ("kernel",)


PATHS = [
    "bert/encoder/embedding/tokens/embeddings",
    "bert/encoder/projection/kernel",
    "bert/encoder/block_0/attention/output/kernel",
    "bert/encoder/block_1/attention_norm/gamma",
    "bert/encoder/norm/gamma",
    "bert/pooler/kernel",
]


def test_lower_layers_have_lower_rates():
    assert layer_rates(PATHS, 0.5) == [1 / 8, 1 / 8, 1 / 4, 1 / 2, 1, 1]
    assert layer_rates(
        ["shared/tokens/embeddings", "a/block_0/k", "b/block_0/k", "b/block_1/k"], 0.5
    ) == [
        1 / 8,
        1 / 2,
        1 / 4,
        1 / 2,
    ]
    with pytest.raises(ValueError, match=r"models of blocks.*Received: 1 weights, a/kernel"):
        layer_rates(["a/kernel"], 0.5)


def test_a_layers_rate_is_that_of_its_updates_and_of_its_decay():
    def steps(optimizer, names):
        weights = []
        for i, name in enumerate(names):
            with keras.name_scope(f"block_{i}"):
                weights.append(keras.Variable(START, name=name))
        for _ in range(2):
            optimizer.apply([tf.constant(START**2)] * len(weights), weights)
        return [w.numpy() for w in weights]

    low, high = steps(ours(weight_decay=0.2, layer_decay=0.5), ["kernel", "kernel"])
    for found, rate in ((low, RATE / 4), (high, RATE / 2)):
        alone = keras.Variable(START, name="kernel")
        optimizer = AdamW(rate, beta_1=B1, beta_2=B2, epsilon=EPSILON, weight_decay=0.2)
        for _ in range(2):
            optimizer.apply([tf.constant(START**2)], [alone])
        np.testing.assert_allclose(found, alone.numpy(), atol=1e-7)


def test_a_decay_over_the_layers_is_restored():
    config = keras.optimizers.serialize(ours(layer_decay=0.9))
    assert keras.optimizers.deserialize(config).layer_decay == 0.9


@pytest.mark.parametrize("layer_decay", [0, -0.1, 1.1])
def test_a_decay_over_the_layers_that_cannot_be_raises(layer_decay):
    with pytest.raises(ValueError, match="layer_decay must be"):
        AdamW(RATE, layer_decay=layer_decay)


def test_an_unknown_argument_raises():
    with pytest.raises(ValueError, match="clip_norm"):
        AdamW(RATE, clip_norm=1.0)
