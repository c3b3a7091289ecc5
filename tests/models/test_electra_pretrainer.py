import contextlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_lm
from keras_lm import ELECTRA, ELECTRAPretrainer
from keras_lm.training import AdamW

SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_layers": 1,
    "num_attention_heads": 2,
    "num_hidden_units": 24,
    "max_length": 12,
    "dropout_rate": 0.0,
    "embedding_size": 12,
    "generator_size": 0.5,
    "initializer_range": 0.3,
}
B, T, P = 8, 10, 3


def batch(rows=B, seed=0):
    """Rows as `data.masked_lm` gives them: of different lengths, with 1 to P masked tokens."""
    random = np.random.default_rng(seed)
    original = random.integers(5, 40, (rows, T)).astype("int32")
    original[:, 0] = 2
    real = np.arange(T)[None] < random.integers(P + 2, T + 1, rows)[:, None]
    count = random.integers(1, P + 1, rows)
    positions = np.tile(np.arange(1, P + 1, dtype="int32"), (rows, 1))
    counted = np.arange(P)[None] < count[:, None]
    positions = np.where(counted, positions, 0)
    labels = np.where(counted, np.take_along_axis(original, positions, 1), 0)
    masked = original.copy()
    np.put_along_axis(masked, positions, np.where(counted, 4, 2).astype("int32"), 1)
    inputs = {
        "token_ids": np.where(real, masked, 0),
        "padding_mask": real,
        "masked_positions": positions,
    }
    return inputs, labels, counted.astype("float32")


def built(**options):
    model = ELECTRAPretrainer(**{**SIZES, **options})
    model.build()
    return model


@pytest.fixture(scope="module")
def model():
    # Before the first test, that is, before its seed.
    keras.utils.set_random_seed(0)
    model = built()
    model.compile()
    return model


def test_the_discriminator_sees_what_the_generator_drew(model):
    inputs, _, weights = batch()
    found = model(inputs)
    assert found["masked_lm"].shape == (B, P, 40)
    np.testing.assert_allclose(found["masked_lm"], model.generator(inputs), atol=1e-6)
    seen = inputs["token_ids"].copy()
    for row, position in zip(*np.nonzero(weights), strict=True):
        seen[row, inputs["masked_positions"][row, position]] = found["drawn"][row, position]
    expected = model.discriminator({"token_ids": seen, "padding_mask": inputs["padding_mask"]})
    np.testing.assert_allclose(found["replaced_token"], expected, atol=1e-6)


def test_training_draws_anew_at_each_step_and_evaluation_does_not(model):
    inputs, labels, weights = batch()
    first, second = (model(inputs, training=True)["drawn"] for _ in range(2))
    assert np.any(first != second)
    np.testing.assert_array_equal(model(inputs)["drawn"], model(inputs)["drawn"])
    results = [
        model.evaluate(inputs, labels, sample_weight=weights, batch_size=size, verbose=0)
        for size in (B, B, 4)
    ]
    assert results[0] == results[1]
    # What a row draws does not depend on the batch.
    np.testing.assert_allclose(results[2][1:], results[0][1:], atol=1e-6)


def test_the_loss_is_that_of_the_generator_and_fifty_times_that_of_the_discriminator(model):
    inputs, labels, weights = batch()
    found = {name: np.asarray(value) for name, value in model(inputs).items()}
    labels[0] = found["drawn"][0]
    log_BPV = tf.nn.log_softmax(found["masked_lm"]).numpy()
    own_BP = -np.take_along_axis(log_BPV, labels[:, :, None], 2)[:, :, 0]
    masked_lm = (own_BP * weights).sum() / weights.sum()
    replaced = np.zeros((B, T))
    for row, place in zip(*np.nonzero(weights), strict=True):
        replaced[row, inputs["masked_positions"][row, place]] = (
            found["drawn"][row, place] != labels[row, place]
        )
    # Row 0 drew what stood there.
    assert replaced.sum() == weights[1:].sum() == weights.sum() - 3
    logits, real = found["replaced_token"], inputs["padding_mask"]
    detection = np.logaddexp(0, np.where(replaced == 1, -logits, logits))[real].mean()
    result = model.evaluate(inputs, labels, sample_weight=weights, verbose=0, return_dict=True)
    assert result["loss"] == pytest.approx(masked_lm + 50 * detection, rel=1e-5)
    # And the metrics.
    says = logits[real] > 0
    truth = replaced[real] == 1
    assert 0 < says.sum() < says.size
    assert result["replaced_token_accuracy"] == pytest.approx((says == truth).mean(), abs=1e-6)
    assert result["replaced_token_precision"] == pytest.approx(
        (says & truth).sum() / says.sum(), abs=1e-6
    )
    assert result["replaced_token_recall"] == pytest.approx(
        (says & truth).sum() / truth.sum(), abs=1e-6
    )
    hits = (log_BPV.argmax(-1) == labels) * weights
    assert result["masked_lm_accuracy"] == pytest.approx(hits.sum() / weights.sum(), abs=1e-6)


def test_another_weight_of_the_detection_can_be_chosen():
    model = built()
    inputs, labels, weights = batch()
    losses = []
    for weight in (0.0, 1.0, 2.0):
        model.compile(loss_weights={"replaced_token": weight})
        y_pred = model(inputs)
        losses.append(float(model.compute_loss(inputs, labels, y_pred, weights)))
    assert losses[2] - losses[1] == pytest.approx(losses[1] - losses[0], rel=1e-4)
    assert losses[1] > losses[0]


def test_the_generator_learns_from_its_own_loss_alone_and_the_embedding_from_both(model):
    inputs, _, _ = batch()
    with tf.GradientTape() as tape:
        found = model(inputs)
        detection = tf.reduce_sum(found["replaced_token"])
    generator = model.generator.trainable_variables
    shared = model.discriminator.encoder.embedding.trainable_variables
    own = [v for v in generator if all(v is not other for other in shared)]
    assert len(own) == len(generator) - len(shared)
    gradients = tape.gradient(detection, [v.value for v in (*own, *shared)])
    assert all(gradient is None for gradient in gradients[: len(own)])
    assert all(gradient is not None for gradient in gradients[len(own) :])


def test_the_embedding_is_one_and_counted_once(model):
    embedding = model.discriminator.encoder.embedding
    assert model.generator.encoder.embedding is embedding
    parts = model.generator.count_params() + model.discriminator.count_params()
    assert model.count_params() == parts - embedding.count_params()
    assert model.generator.hidden_size == 8
    assert model.generator.encoder.projection is not model.discriminator.encoder.projection


def trained(strategy=None, steps=4):
    keras.utils.set_random_seed(5)
    with strategy.scope() if strategy else contextlib.nullcontext():
        model = built()
        # A step of it is traced in a third of the time that AdamW takes.
        model.compile(keras.optimizers.SGD(0.02))
    rows = tf.data.Dataset.from_tensor_slices(batch(B * steps)).batch(B)
    # An epoch of one step, so that the history has the loss of every step.
    history = model.fit(rows.repeat(), epochs=steps, steps_per_epoch=1, verbose=0).history
    return model, history


@pytest.mark.slow
def test_two_replicas_have_the_losses_and_weights_of_one_device(replicas):
    (one, first), (two, second) = trained(), trained(replicas)
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_allclose(second[name], values, rtol=1e-6, atol=1e-6, err_msg=name)
    for ours, theirs in zip(one.weights, two.weights, strict=True):
        np.testing.assert_allclose(theirs.numpy(), ours.numpy(), atol=1e-6, err_msg=ours.path)


def test_a_seed_repeats_dropout_and_draws():
    def drawn(seed):
        keras.utils.set_random_seed(seed)
        model = built(dropout_rate=0.3)
        return [model(batch()[0], training=True) for _ in range(2)]

    first, again, other = drawn(5), drawn(5), drawn(6)
    for step in range(2):
        for name in ("masked_lm", "drawn", "replaced_token"):
            np.testing.assert_array_equal(first[step][name], again[step][name])
    assert np.any(first[0]["drawn"] != other[0]["drawn"])


def test_a_keras_file_gives_the_same_pretrainer_back(model, tmp_path):
    model.save(tmp_path / "model.keras")
    again = keras_lm.load(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    assert again.generator.encoder.embedding is again.discriminator.encoder.embedding
    inputs, labels, weights = batch()
    for name, value in model(inputs).items():
        np.testing.assert_allclose(again(inputs)[name], value, atol=1e-6)
    found = again.evaluate(inputs, labels, sample_weight=weights, verbose=0)
    expected = model.evaluate(inputs, labels, sample_weight=weights, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.slow
def test_the_discriminator_alone_is_read_in_a_fresh_process(model, tmp_path):
    model.discriminator.save(tmp_path / "electra.keras")
    ids = batch()[0]["token_ids"]
    np.save(tmp_path / "ids.npy", ids)
    program = f"""
import numpy as np, keras_lm
model = keras_lm.load({str(tmp_path / "electra.keras")!r})
assert type(model) is keras_lm.ELECTRA and model.heads == ("replaced_token",)
np.save({str(tmp_path / "outputs.npy")!r}, model(np.load({str(tmp_path / "ids.npy")!r})))
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=120)
    np.testing.assert_allclose(
        np.load(tmp_path / "outputs.npy"), model.discriminator(ids), atol=1e-6
    )


def test_the_generator_alone_is_saved_whole(model, tmp_path):
    model.generator.save(tmp_path / "generator.keras")
    again = keras_lm.load(tmp_path / "generator.keras")
    assert isinstance(again, ELECTRA)
    ids = batch()[0]["token_ids"]
    np.testing.assert_allclose(again(ids), model.generator(ids), atol=1e-6)


@pytest.mark.slow
def test_a_step_can_be_compiled_by_xla():
    model = built()
    model.compile(AdamW(1e-2), jit_compile=True)
    inputs, labels, weights = batch()
    rows = tf.data.Dataset.from_tensors((inputs, labels, weights)).repeat(2)
    history = model.fit(rows, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generator_size": 0.0}, "generator_size=0.0"),
        ({"generator_size": 2.0}, "generator_size=2.0"),
        ({"num_attention_heads": 8, "hidden_size": 24, "generator_size": 0.6}, "14 with 5 heads"),
        ({"hidden_size": 17}, "d_kv=17"),
    ],
)
def test_sizes_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ELECTRAPretrainer(**{**SIZES, **options})


def test_inputs_and_labels_of_another_kind_are_refused(model):
    inputs, labels, _ = batch()
    with pytest.raises(ValueError, match=r"masked_positions.*Received: token_ids"):
        model({"token_ids": inputs["token_ids"]})
    pairs = {"masked_lm": labels, "next_sentence": labels[:, 0]}
    with pytest.raises(ValueError, match=r"a dict with \['masked_lm', 'next_sentence'\]"):
        model.fit(tf.data.Dataset.from_tensors((inputs, pairs)), verbose=0)
