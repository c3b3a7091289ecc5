"""What stock Keras 3.15 does where this package does otherwise: each a row of docs/training.md.

Ours is held in the files beside; here is why it is needed. A test that fails says that Keras was
corrected, and that an override may go.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

pytestmark = pytest.mark.slow


def dense_model(replicas, optimizer, **compiled):
    keras.utils.set_random_seed(0)
    with replicas.scope():
        model = keras.Sequential([keras.layers.Dense(1, use_bias=False)])
        model.build((None, 2))
        model.compile(optimizer(), "mse", **compiled)
    return model


def fit(model, rows=8, batch=8):
    x = np.random.default_rng(0).normal(size=(rows, 2)).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, 10 * x[:, :1])).batch(batch)
    model.fit(data, shuffle=False, verbose=0)


def sgd(rate=0.1, **options):
    return lambda: keras.optimizers.SGD(rate, **options)


def step_on_two(replicas, optimizer, gradients):
    """One step of a weight of two, with another gradient on each replica."""
    with replicas.scope():
        variable = keras.Variable([1.0, 2.0])
        optimizer = optimizer()
        optimizer.build([variable])

    @tf.function
    def step():
        def run():
            here = tf.distribute.get_replica_context().replica_id_in_sync_group
            optimizer.apply([tf.gather(tf.constant(gradients), here)], [variable])

        replicas.run(run)

    step()
    return variable.numpy(), optimizer


def test_clipping_comes_before_the_sum(replicas):
    gradients = [[3.0, 0.0], [-3.0, 4.0]]  # their sum is (0, 4)
    found, _ = step_on_two(replicas, sgd(clipnorm=1.0), gradients)
    right = np.array([1.0, 2.0]) - 0.1 * np.array([0.0, 1.0])
    assert not np.allclose(found, right, atol=1e-2)


def test_an_overflow_on_one_replica_is_written_on_all(replicas):
    def optimizer():
        return keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=8.0)

    found, used = step_on_two(replicas, optimizer, [[8.0, 8.0], [np.inf, 8.0]])
    assert not np.isfinite(found).all()
    assert used.dynamic_scale.numpy() == 8.0


def test_gradients_accumulated_over_steps_fail(replicas):
    with pytest.raises(RuntimeError, match="merge_call` called while defining a new graph"):
        fit(dense_model(replicas, sgd(gradient_accumulation_steps=2)))


def test_weights_overwritten_by_averages_fail(replicas):
    with pytest.raises(RuntimeError, match="merge_call` called while defining a new graph"):
        fit(dense_model(replicas, sgd(use_ema=True, ema_overwrite_frequency=1)))


def test_xla_fails(replicas):
    with pytest.raises(Exception, match="Trying to access resource"):
        fit(dense_model(replicas, sgd(), jit_compile=True))


def test_every_replica_draws_the_same_mask(replicas):
    with replicas.scope():
        layer = keras.layers.Dropout(0.5)

    @tf.function
    def masks():
        return replicas.run(lambda: layer(np.ones((4, 6), "float32"), training=True))

    np.testing.assert_array_equal(*replicas.experimental_local_results(masks()))


def test_an_empty_replica_counts_as_one(replicas):
    x = np.array([[1.0, 2.0]], "float32")
    weights = []
    for strategy in (tf.distribute.get_strategy(), replicas):
        model = dense_model(strategy, sgd(0.02))
        rows = tf.data.Dataset.from_tensor_slices((np.repeat(x, 3, 0), np.repeat(x[:, :1], 3, 0)))
        model.fit(rows.batch(2), shuffle=False, verbose=0)
        weights.append(model.get_weights()[0])
    assert not np.allclose(*weights, atol=1e-3)


def test_repeated_ids_are_squared_one_by_one():
    found = []
    for ids in ([0, 0], [0]):
        table = keras.Variable(np.zeros((2, 1), "float32"))
        optimizer = keras.optimizers.Adam(0.1, beta_2=0.99)
        rows = tf.IndexedSlices(
            tf.fill([len(ids), 1], 2.0 / len(ids)), tf.constant(ids), tf.constant([2, 1])
        )
        optimizer.apply([rows], [table])
        found.append(next(v for v in optimizer.variables if "velocity" in v.path).numpy()[0, 0])
    one_by_one, summed = found
    assert one_by_one == pytest.approx(summed / 2)


def test_a_generator_loses_batches(replicas):
    model = dense_model(replicas, sgd())
    x = np.ones((4, 2), "float32")
    batches = ((x, x[:, :1]) for _ in range(4))
    with pytest.warns(UserWarning, match="ran out of data"):
        model.fit(batches, steps_per_epoch=4, shuffle=False, verbose=0)
    assert int(model.optimizer.iterations.numpy()) < 4


def test_a_computation_done_again_draws_another_mask():
    x = tf.ones([1, 64])
    with keras.RematScope(mode="full"):
        layer = keras.layers.Dropout(0.5)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    gradient = tape.gradient(y, x)
    assert not np.array_equal(y.numpy() > 0, gradient.numpy() > 0)


def test_a_distribution_shards_nothing_and_says_nothing():
    mesh = keras.distribution.DeviceMesh((2,), ["batch"], devices=["cpu:0", "cpu:1"])
    keras.distribution.set_distribution(keras.distribution.DataParallel(mesh))
    try:
        layer = keras.layers.Dense(2)
        layer.build((None, 2))
        assert layer.kernel.value.device.endswith("CPU:0")
        assert not tf.experimental.dtensor.is_dtensor(layer.kernel.value)
    finally:
        keras.distribution.set_distribution(None)
