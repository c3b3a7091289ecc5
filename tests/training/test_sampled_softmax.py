import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm.training import SampledSoftmax
from keras_lm.training.losses import token_cross_entropy

B, T, D, V = 2, 3, 4, 40
COUNTS = (1000 / (1 + np.arange(V))).round()
KINDS = ["uniform", "log_uniform", COUNTS]
NAMES = ["uniform", "log_uniform", "counts"]


def hidden_table_bias(scale=1.0):
    random = np.random.default_rng(0)
    arrays = (
        random.normal(size=(B, T, D)),
        scale * random.normal(size=(V, D)),
        random.normal(size=V),
    )
    return [tf.Variable(array.astype("float32")) for array in arrays]


def labels():
    return np.random.default_rng(1).integers(0, V, (B, T))


def gradients(loss, variables):
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(loss())
    return [tf.convert_to_tensor(gradient).numpy() for gradient in tape.gradient(total, variables)]


def over_steps(function, number=4000):
    """The mean of what a function of the step gives, and its standard error."""
    run = tf.function(lambda steps: tf.map_fn(function, steps, fn_output_signature=tf.float32))
    values = run(tf.range(number, dtype=tf.int64)).numpy()
    return values.mean(0), values.std(0) / np.sqrt(number)


def test_all_ids_give_the_whole_softmax():
    hidden, table, bias = variables = hidden_table_bias()
    weights = np.array([[1, 0, 2], [0.5, 1, 1]], "float32")
    sampler = SampledSoftmax(V, "uniform")

    def ours():
        return sampler.cross_entropy(labels(), hidden, table, bias, weights, 0)

    def theirs():
        logits = tf.tensordot(hidden, table, [[2], [1]]) + bias
        return token_cross_entropy(labels(), logits, weights)

    for one, two in zip(ours(), theirs(), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5)
    both = [gradients(lambda loss=loss: loss()[0], variables) for loss in (ours, theirs)]
    for one, two in zip(*both, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_each_id_is_drawn_with_the_chance_that_is_said_of_it(kind):
    sampler = SampledSoftmax(25, kind)

    def drawn(step):
        ids, there, _ = sampler.sample(V, step)
        return tf.reduce_sum(tf.one_hot(ids, V) * tf.cast(there, tf.float32)[:, None], 0)

    share, error = over_steps(drawn)
    chance = np.exp(sampler.sample(V, 0)[2])
    np.testing.assert_array_less(np.abs(share - chance), 4.5 * error + 1e-3)
    assert share.max() <= 1
    assert share.sum() > 9


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_the_sum_over_all_classes_is_estimated_without_bias(kind):
    hidden, table, bias = hidden_table_bias()
    sampler = SampledSoftmax(25, kind)

    def estimate(step):
        loss, _ = sampler.cross_entropy(labels(), hidden, table, bias, None, step)
        return tf.exp(loss)  # the sum over the label's own term

    mean, error = over_steps(estimate)
    logits = tf.tensordot(hidden, table, [[2], [1]]) + bias
    whole = np.exp(token_cross_entropy(labels(), logits)[0])
    np.testing.assert_array_less(np.abs(mean - whole), 4.5 * error)
    assert (error < 0.05 * whole).all(), "and the test would see a bias"


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_the_gradient_vanishes_on_average_for_a_model_that_is_right(kind):
    """Where labels are as likely as the model says, nothing is to be learnt."""
    logits_V = tf.constant(np.random.default_rng(3).normal(size=V).astype("float32"))
    share_V = tf.nn.softmax(logits_V)
    sampler = SampledSoftmax(25, kind)

    def gradient(step):
        # The model's logits are its bias; each label counts with its probability.
        with tf.GradientTape() as tape:
            tape.watch(logits_V)
            loss, _ = sampler.cross_entropy(
                tf.range(V)[None], tf.zeros([1, V, D]), tf.zeros([V, D]), logits_V, None, step
            )
            total = tf.reduce_sum(loss * share_V)
        return tf.convert_to_tensor(tape.gradient(total, logits_V))

    mean, error = over_steps(gradient)
    np.testing.assert_array_less(np.abs(mean), 4.5 * error + 1e-6)
    assert error.max() < 0.01


def test_a_label_counts_once_though_it_was_drawn_too():
    hidden, table, bias = hidden_table_bias()
    sampler = SampledSoftmax(V - 1, COUNTS)
    ids, there, log_chance = (x.numpy() for x in sampler.sample(V, 7))
    label = int(ids[0])
    assert there[0]
    loss, _ = sampler.cross_entropy(
        np.full((B, T), label), hidden, table, bias, None, tf.constant(7)
    )
    logits = np.tensordot(hidden, table.numpy().T, 1) + bias.numpy()
    others = [i for i in ids[there] if i != label]
    total = np.exp(logits[..., others] - log_chance[others]).sum(-1) + np.exp(logits[..., label])
    np.testing.assert_allclose(loss, np.log(total) - logits[..., label], rtol=1e-5)


def test_samples_belong_to_seed_and_step_alone():
    def ids(step, **arguments):
        return SampledSoftmax(10, COUNTS, **arguments).sample(V, tf.constant(step))[0].numpy()

    np.testing.assert_array_equal(ids(3), ids(3))
    assert (ids(3) != ids(4)).any()
    assert (ids(3) != ids(3, seed=1)).any()
    traced = tf.function(lambda step: SampledSoftmax(10, COUNTS).sample(V, step)[0])
    np.testing.assert_array_equal(traced(tf.constant(3)), ids(3))


def test_ids_are_drawn_once_at_most():
    ids, _, _ = SampledSoftmax(30, COUNTS).sample(V, 0)
    assert len(set(ids.numpy().tolist())) == 30


def test_half_precision_is_summed_in_float32():
    hidden, table, bias = hidden_table_bias()
    sampler = SampledSoftmax(20, COUNTS)
    half, _ = sampler.cross_entropy(labels(), tf.cast(hidden, "bfloat16"), table, bias, None, 0)
    whole, _ = sampler.cross_entropy(labels(), hidden, table, bias, None, 0)
    assert half.dtype == tf.float32
    np.testing.assert_allclose(half, whole, atol=0.05)


@pytest.mark.parametrize("kind", [*KINDS, None], ids=[*NAMES, "none"])
def test_a_config_makes_the_same_sampler(kind):
    sampler = SampledSoftmax(9, kind, seed=2)
    config = keras.saving.serialize_keras_object(sampler)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == sampler.get_config()


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: SampledSoftmax(0), "num_samples must be positive"),
        (lambda: SampledSoftmax(5, "zipf"), '"uniform", "log_uniform" or a number for each id'),
        (lambda: SampledSoftmax(5, [[1.0]]), r"one number for each id.*\(1, 1\)"),
        (lambda: SampledSoftmax(5, [1.0, -1.0]), "none of them negative"),
        (lambda: SampledSoftmax(5).check(4), "num_samples=5.*vocab_size=4"),
        (lambda: SampledSoftmax(1, [1.0]).check(4), "a distribution over 1 ids, vocab_size=4"),
        (lambda: SampledSoftmax(5).count([1], 9), "fit a pipeline .* Received: a list"),
        (lambda: SampledSoftmax(5).sample(9, 0), "a distribution must come first"),
    ],
)
def test_a_sampler_that_cannot_be_raises(make, rule):
    with pytest.raises(ValueError, match=rule):
        make()
