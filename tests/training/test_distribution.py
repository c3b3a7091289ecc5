"""What two replicas compute equals what one device computes from the same global batch."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from training_toys import Losses, Toy, V, both_heads, masked_rows

from keras_lm.training import AdamW, LanguageModel, LossScaleOptimizer

BATCH, STEPS = 8, 3


def batches(data, sizes, seed=0):
    rows = tf.data.Dataset.from_tensor_slices(data(sum(sizes), seed))
    parts = [rows.skip(sum(sizes[:i])).take(n).batch(n) for i, n in enumerate(sizes)]
    dataset = parts[0]
    for part in parts[1:]:
        dataset = dataset.concatenate(part)
    return dataset


def train(strategy, data, *, optimizer=None, sizes=(BATCH,) * STEPS, compiled=None, **arguments):
    """Trains a model; returns it with the loss of each batch and of the last one alone."""
    keras.utils.set_random_seed(3)
    with strategy.scope() if strategy else contextlib.nullcontext():
        model = Toy(**arguments)
        model.build(None)
        optimizer = optimizer and optimizer()
    model.compile(optimizer, learning_rate=None if optimizer else 0.01, **(compiled or {}))
    losses = Losses()
    history = model.fit(batches(data, sizes), verbose=0, callbacks=[losses])
    steps = (compiled or {}).get("steps_per_execution", 1)
    assert len(losses.values) == -(-len(sizes) // steps)
    return model, losses.values, history.history["loss"]


def assert_equal(one, two):
    np.testing.assert_allclose(two[1], one[1], atol=1e-6)
    assert_equal_weights(one[0], two[0])


def assert_equal_weights(one, two):
    for ours, theirs in zip(one.weights, two.weights, strict=True):
        np.testing.assert_allclose(theirs.numpy(), ours.numpy(), atol=1e-6, err_msg=ours.path)


def test_two_replicas_with_uneven_masked_tokens_equal_one_device(replicas):
    assert_equal(train(None, masked_rows), train(replicas, masked_rows))


def test_two_heads_a_penalty_and_a_tight_clip_equal_one_device(replicas):
    arguments = {
        "heads": ("masked_lm", "next_sentence"),
        "penalty": 0.1,
        "optimizer": lambda: AdamW(0.01, global_clipnorm=0.1),
    }
    one, two = train(None, both_heads, **arguments), train(replicas, both_heads, **arguments)
    assert_equal(one, two)
    for variable in two[0].trainable_variables:
        first, second = (v.numpy() for v in variable.value.values)
        np.testing.assert_array_equal(first, second, err_msg=variable.path)


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm", "clipvalue"])
def test_gradients_are_clipped_after_they_were_summed(replicas, clip):
    here, there = np.array([[3.0, -1.0], [2.0, 2.0]], "float32"), np.ones((2, 2), "float32")
    plain = keras.Variable(np.zeros((2, 2)))
    AdamW(0.1, **{clip: 1.5}).apply([tf.constant(here + there)], [plain])
    with replicas.scope():
        spread = keras.Variable(np.zeros((2, 2)))
        optimizer = AdamW(0.1, **{clip: 1.5})
        optimizer.build([spread])

    @tf.function
    def step():
        def run():
            first = tf.distribute.get_replica_context().replica_id_in_sync_group == 0
            optimizer.apply([tf.where(first, here, there)], [spread])

        replicas.run(run)

    step()
    velocity = next(v for v in optimizer.variables if v.path.endswith("velocity")).numpy()
    summed = here + there
    norm = np.linalg.norm(summed)
    clipped = np.clip(summed, -1.5, 1.5) if clip == "clipvalue" else summed * 1.5 / norm
    np.testing.assert_allclose(velocity, 0.001 * clipped**2, rtol=1e-4)
    np.testing.assert_allclose(spread.numpy(), plain.numpy(), atol=1e-6)


def test_batches_that_do_not_divide_equal_one_device(replicas):
    # The last leaves one replica without a row: what Keras shows of that step is half of it, what
    # it shows of the epoch is right.
    sizes = (BATCH - 1, BATCH, 1)
    one, two = train(None, masked_rows, sizes=sizes), train(replicas, masked_rows, sizes=sizes)
    np.testing.assert_allclose(two[1][:2], one[1][:2], atol=1e-6)
    np.testing.assert_allclose(two[2], one[2], atol=1e-6)
    assert_equal_weights(one[0], two[0])

    data = batches(masked_rows, (BATCH, BATCH, 3), seed=5)
    ours, theirs = (m[0].evaluate(data, verbose=0, return_dict=True) for m in (one, two))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert theirs[name] == pytest.approx(value, abs=1e-6), name


def test_float16_trains_on_two_replicas(replicas):
    model, losses, _ = train(replicas, masked_rows, sizes=(BATCH,) * 3, dtype="mixed_float16")
    assert isinstance(model.optimizer, LossScaleOptimizer)
    assert int(model.optimizer.iterations.numpy()) == 3
    assert losses[0] == pytest.approx(np.log(V), rel=0.2)
    assert all(np.isfinite(v.numpy()).all() for v in model.trainable_variables)


class OfWords(LanguageModel):
    """Reads strings."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.table = keras.layers.Embedding(8, 2)

    def build(self, input_shape=None):
        self.table.build(None)

    def call(self, words):
        return tf.reduce_sum(self.table(tf.strings.to_hash_bucket_fast(words, 8)), -1)


def test_strings_and_a_loss_of_keras_equal_one_device(replicas):
    rng, found = np.random.default_rng(0), []
    words = rng.choice(["a", "bc", "def", ""], (7, 3))
    numbers = rng.normal(size=(7, 3)).astype("float32")
    for strategy in (None, replicas):
        keras.utils.set_random_seed(3)
        with strategy.scope() if strategy else contextlib.nullcontext():
            model = OfWords()
            model.compile(AdamW(0.1), loss="mse")  # of Keras, whose means are of one replica
        data = tf.data.Dataset.from_tensor_slices((words, numbers)).batch(3)  # 3, 3, and 1 row
        losses = model.fit(data, epochs=2, verbose=0).history["loss"]
        found.append((model, losses, model.predict(data, verbose=0)))
    (one, ours, told), (other, theirs, said) = found
    np.testing.assert_allclose(theirs, ours, atol=1e-6)
    np.testing.assert_allclose(said, told, atol=1e-6)
    assert_equal_weights(one, other)


def test_an_overflow_on_one_replica_is_skipped_by_all(replicas):
    with replicas.scope():
        variable = keras.Variable([1.0, 2.0])
        optimizer = LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=8.0)
        optimizer.build([variable])

    @tf.function
    def step(bad_replica):
        def run():
            here = tf.distribute.get_replica_context().replica_id_in_sync_group
            gradient = tf.where(here == bad_replica, float("inf"), 8.0) * tf.ones(2)
            optimizer.apply([gradient], [variable])

        replicas.run(run)

    step(tf.constant(1))
    np.testing.assert_array_equal(variable.numpy(), [1.0, 2.0])
    assert optimizer.dynamic_scale.numpy() == 4.0
    step(tf.constant(-1))
    np.testing.assert_allclose(variable.numpy(), [0.6, 1.6], rtol=1e-6)


def test_compile_enters_the_scope_that_the_model_was_made_in(replicas):
    with replicas.scope():
        model = Toy()
    model.compile()
    assert len(model.optimizer.iterations.value.values) == 2


def test_a_model_made_outside_the_scope_is_refused(replicas):
    model = Toy()
    model.compile()
    with replicas.scope():
        with pytest.raises(ValueError, match="constructed in the scope"):
            model.compile()
        with pytest.raises(ValueError, match="constructed in the scope"):
            model.fit(*masked_rows(BATCH))


def test_an_optimizer_made_outside_the_scope_is_refused(replicas):
    optimizer = AdamW(0.01)
    with replicas.scope():
        model = Toy()
        with pytest.raises(ValueError, match="scope of the same strategy"):
            model.compile(optimizer)


def test_averaged_weights_equal_those_of_one_device(replicas):
    def optimizer():
        return AdamW(0.01, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2)

    assert_equal(
        train(None, masked_rows, optimizer=optimizer),
        train(replicas, masked_rows, optimizer=optimizer),
    )


@pytest.mark.slow
def test_several_steps_in_one_call_equal_one_device(replicas):
    sizes = (BATCH, BATCH, 5)  # the last call has fewer
    one = train(None, masked_rows, sizes=sizes)
    two = train(replicas, masked_rows, sizes=sizes, compiled={"steps_per_execution": 2})
    assert len(two[1]) == 2
    assert int(two[0].optimizer.iterations.numpy()) == 3
    assert_equal_weights(one[0], two[0])
    np.testing.assert_allclose(two[2], one[2], atol=1e-6)


@pytest.mark.slow
def test_several_steps_of_an_evaluation_equal_one_device(replicas):
    one = train(None, masked_rows, sizes=(BATCH,))
    two = train(replicas, masked_rows, sizes=(BATCH,), compiled={"steps_per_execution": 2})
    data = batches(masked_rows, (BATCH, BATCH, 1), seed=5)
    ours, theirs = (m[0].evaluate(data, verbose=0, return_dict=True) for m in (one, two))
    assert theirs == pytest.approx(ours, abs=1e-6)


@pytest.mark.slow
def test_dropout_on_two_replicas_is_repeatable(replicas):
    first, second = (train(replicas, masked_rows, dropout_rate=0.5) for _ in range(2))
    assert first[1] == second[1]
    assert first[1] != train(replicas, masked_rows)[1]


def test_what_keras_cannot_trace_under_a_strategy_is_refused(replicas):
    with replicas.scope():
        model = Toy()
        with pytest.raises(
            ValueError, match=r"compile\(gradient_accumulation_steps=...\).*steps=2"
        ):
            model.compile(AdamW(0.1, gradient_accumulation_steps=2))
        with pytest.raises(ValueError, match=r"those of keras_lm.training can.*frequency=2"):
            model.compile(keras.optimizers.Adam(0.1, use_ema=True, ema_overwrite_frequency=2))
