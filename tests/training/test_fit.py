"""Defaults of `compile`, and what `fit` does with data and schedule on one device."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from training_toys import T, Toy, ToyPipeline, V, both_heads, masked_rows

from keras_lm.training import AdamW, Linear, LossScaleOptimizer, Perplexity
from keras_lm.training.keras_overrides import schedule_of


def causal_rows(rows):
    """Rows that count upwards: the next token follows from this one."""
    ids = (np.arange(rows)[:, None] + np.arange(T + 1)[None]) % V
    return {"token_ids": ids[:, :-1].astype("int32")}, ids[:, 1:].astype("int32")


def evaluate(model, *data):
    return model.evaluate(*data[:2], sample_weight=data[2] if data[2:] else None, batch_size=8,
                          verbose=0, return_dict=True)  # fmt: skip


def cross_entropy(logits, labels):
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return -np.take_along_axis(log_p, labels[..., None], -1)[..., 0]


def test_masked_lm_has_the_token_mean_and_weighted_accuracy():
    inputs, labels, weights = masked_rows(8)
    model = Toy()
    model.compile()
    values = evaluate(model, inputs, labels, weights)
    logits = model.predict(inputs, verbose=0)
    loss = (cross_entropy(logits, labels) * weights).sum() / weights.sum()
    hits = ((logits.argmax(-1) == labels) * weights).sum() / weights.sum()
    assert set(values) == {"loss", "accuracy"}
    assert values["loss"] == pytest.approx(loss, rel=1e-5)
    assert values["accuracy"] == pytest.approx(hits, rel=1e-5)


def test_causal_lm_has_accuracy_and_perplexity():
    inputs, labels = causal_rows(8)
    model = Toy(heads=("causal_lm",))
    model.compile()
    values = evaluate(model, inputs, labels)
    assert set(values) == {"loss", "accuracy", "perplexity"}
    loss = cross_entropy(model.predict(inputs, verbose=0), labels).mean()
    assert values["loss"] == pytest.approx(loss, rel=1e-5)
    assert values["perplexity"] == pytest.approx(np.exp(loss), rel=1e-5)


def test_two_heads_have_the_sum_of_their_means_and_a_regularization_loss_once():
    inputs, labels, weights = both_heads(8)
    model = Toy(heads=("masked_lm", "next_sentence"), penalty=0.3)
    model.compile(loss_weights={"next_sentence": 0.5})
    values = evaluate(model, inputs, labels, weights)
    assert set(values) == {"loss", "masked_lm_accuracy", "next_sentence_accuracy"}
    logits = model.predict(inputs, verbose=0)
    words, pairs = (cross_entropy(logits[h], labels[h]) for h in model.heads)
    mask = weights["masked_lm"]
    penalty = 0.3 * sum((block.kernel.numpy() ** 2).sum() for block in model.blocks)
    expected = (words * mask).sum() / mask.sum() + 0.5 * pairs.mean() + penalty
    assert values["loss"] == pytest.approx(expected, rel=1e-5)


def test_a_head_without_weights_counts_all_its_labels():
    inputs, labels, weights = both_heads(8)
    model = Toy(heads=("masked_lm", "next_sentence"))
    model.compile()
    some = {"masked_lm": weights["masked_lm"]}
    # Keras takes weights of some heads from a dataset alone.
    data = tf.data.Dataset.from_tensors((inputs, labels, some))
    values = model.evaluate(data, verbose=0, return_dict=True)
    assert values == evaluate(model, inputs, labels, weights)


def test_label_smoothing_is_for_the_loss_alone():
    inputs, labels = causal_rows(8)
    model = Toy(heads=("causal_lm",))
    model.compile(label_smoothing=0.1)
    values = evaluate(model, inputs, labels)
    logits = model.predict(inputs, verbose=0)
    smooth = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    expected = float(smooth(keras.ops.one_hot(labels, V), logits))
    assert values["loss"] == pytest.approx(expected, rel=1e-5)
    plain = cross_entropy(logits, labels).mean()
    assert values["perplexity"] == pytest.approx(np.exp(plain), rel=1e-5)


def test_label_smoothing_leaves_answers_of_yes_and_no():
    inputs, labels, weights = both_heads(8)
    model = Toy(heads=("masked_lm", "next_sentence"))
    model.compile(label_smoothing=0.3, loss_weights={"masked_lm": 0.0})
    logits = model.predict(inputs, verbose=0)["next_sentence"]
    expected = cross_entropy(logits, labels["next_sentence"]).mean()
    assert evaluate(model, inputs, labels, weights)["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_label_smoothing_survives_a_file(tmp_path):
    model = Toy()
    model.compile("sgd", label_smoothing=0.1)
    model.save(tmp_path / "toy.keras")
    again = keras.models.load_model(tmp_path / "toy.keras")
    assert again.label_smoothing == 0.1
    data = masked_rows(8)
    assert evaluate(again, *data) == evaluate(model, *data)


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"label_smoothing": 1.0}, "label_smoothing must be .* less than 1"),
        ({"label_smoothing": -0.1}, "label_smoothing must be at least 0"),
        ({"label_smoothing": 0.1, "loss": "mse"}, "give it to your own loss"),
    ],
)
def test_label_smoothing_that_cannot_be_raises(arguments, rule):
    with pytest.raises(ValueError, match=rule):
        Toy().compile(**arguments)


def test_replaced_tokens_have_the_mean_over_tokens_that_count():
    inputs, _, _ = masked_rows(8)
    model = Toy(heads=("replaced_token",))
    model.compile(label_smoothing=0.1)
    labels = (inputs["token_ids"] > 3).astype("int32")
    weights = inputs["padding_mask"].astype("float32")
    values = evaluate(model, inputs, labels, weights)
    logits = model.predict(inputs, verbose=0)
    loss = np.log1p(np.exp(np.where(labels == 1, -logits, logits)))
    assert values["loss"] == pytest.approx((loss * weights).sum() / weights.sum(), rel=1e-5)
    hits = ((logits > 0) == labels) * weights
    assert values["accuracy"] == pytest.approx(hits.sum() / weights.sum(), rel=1e-5)


def test_what_the_user_passes_wins():
    inputs, labels = causal_rows(8)
    model = Toy(heads=("causal_lm",))
    optimizer = keras.optimizers.SGD(0.5)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    model.compile(optimizer, loss, metrics=[Perplexity(name="ppl")])
    assert model.optimizer is optimizer
    values = evaluate(model, inputs, labels)
    assert set(values) == {"loss", "ppl"}
    logits = model.predict(inputs, verbose=0)
    assert values["loss"] == pytest.approx(cross_entropy(logits, labels).sum(), rel=1e-4)


def test_metrics_of_the_user_go_with_the_default_loss():
    inputs, labels, weights = masked_rows(8)
    model = Toy()
    model.compile(weighted_metrics=[Perplexity()])
    values = evaluate(model, inputs, labels, weights)
    assert set(values) == {"loss", "perplexity"}
    assert values["perplexity"] == pytest.approx(np.exp(values["loss"]), rel=1e-5)


def test_the_default_optimizer_is_adamw_clipped_and_warmed_up():
    model = Toy()
    model.compile(learning_rate=2e-3)
    assert isinstance(model.optimizer, AdamW)
    assert model.optimizer.weight_decay == 0.01
    assert model.optimizer.global_clipnorm == 1.0
    assert isinstance(schedule_of(model.optimizer), Linear)
    assert schedule_of(model.optimizer).peak_learning_rate == 2e-3


def test_a_rate_beside_an_optimizer_raises():
    with pytest.raises(ValueError, match="learning_rate is that of the default optimizer"):
        Toy().compile("adam", learning_rate=0.1)


def test_a_model_without_head_needs_a_loss():
    with pytest.raises(ValueError, match="without a head has no loss"):
        Toy(heads=()).compile()
    Toy(heads=()).compile(loss="mse")


def test_loss_weights_of_no_head_raise():
    with pytest.raises(ValueError, match="loss_weights must be"):
        Toy().compile(loss_weights={"next_sentence": 1.0})


def test_labels_of_another_structure_raise():
    inputs, labels, _ = both_heads(8)
    model = Toy(heads=("masked_lm", "next_sentence"))
    model.compile()
    with pytest.raises(ValueError, match="labels of this model are a dict with the keys"):
        model.fit(inputs, {"masked_lm": labels["masked_lm"]}, verbose=0)


def planned(model):
    return schedule_of(model.optimizer).planned_steps


def test_fit_fills_in_the_length_of_the_decay():
    inputs, labels, weights = masked_rows(20)
    data = tf.data.Dataset.from_tensor_slices((inputs, labels, weights)).batch(4)
    model = Toy()
    model.compile(learning_rate=0.01)
    model.fit(data, epochs=2, verbose=0)
    assert planned(model) == 10
    assert model.optimizer.learning_rate.numpy() == 0.0
    # A second fit starts where the first one ended, and has steps of its own.
    model.fit(data, epochs=3, initial_epoch=1, verbose=0)
    assert planned(model) == 20
    model.fit(data.repeat(), epochs=1, steps_per_epoch=3, verbose=0)
    assert planned(model) == 23
    model.fit(inputs, labels, batch_size=8, validation_split=0.5, verbose=0)
    assert planned(model) == 25
    # Data that do not know their length.
    with pytest.warns(UserWarning, match="ran out of data"):
        model.fit(data.filter(lambda *_: True), verbose=0)
    assert planned(model) is None
    assert model.optimizer.learning_rate.numpy() > 0


def test_fit_leaves_a_length_that_was_given():
    inputs, labels, _ = masked_rows(8)
    model = Toy()
    model.compile(learning_rate=Linear(0.01, 0, total_steps=100))
    model.fit(inputs, labels, verbose=0)
    assert model.optimizer.learning_rate.numpy() == pytest.approx(0.0099)


def learn(steps, **arguments):
    model = Toy(hidden_size=16, heads=("causal_lm",), **arguments)
    model.compile(learning_rate=0.02)
    data = tf.data.Dataset.from_tensors(causal_rows(V)).cache().repeat()
    history = model.fit(data, epochs=2, steps_per_epoch=steps // 2, verbose=0).history
    return model, history


def test_fit_lowers_the_loss():
    _, history = learn(60)
    assert history["loss"][1] < 0.2 * np.log(V)  # log V is a guess's
    assert history["accuracy"][1] > 0.9


class SeesBatches(Toy):
    """Keeps the first id of every batch of labels."""

    def __init__(self):
        super().__init__(heads=("causal_lm",))
        self.seen = []

    def train_step(self, data):
        self.seen.append(int(data[1][0, 0]))
        return super().train_step(data)


def seen(data, **kwargs):
    model = SeesBatches()
    model.compile(run_eagerly=True)
    model.fit(data, verbose=0, **kwargs)
    return model.seen


def test_a_pipeline_goes_on_from_epoch_to_epoch():
    assert seen(ToyPipeline(3), epochs=2) == [0, 1, 2, 3, 4, 5]
    assert seen(ToyPipeline(3), epochs=3, initial_epoch=2) == [6, 7, 8]
    assert seen(ToyPipeline(3), epochs=3, initial_epoch=2, steps_per_epoch=2) == [4, 5]
    # A pipeline that starts in the midst of an epoch goes on from there.
    assert seen(ToyPipeline(3, start_step=4), epochs=2, initial_epoch=1) == [4, 5, 6]


def test_a_generator_raises():
    model = Toy(heads=("causal_lm",))
    model.compile()
    data = ((inputs, labels) for inputs, labels in [causal_rows(4)])
    for call in (
        model.fit,
        model.evaluate,
        lambda d: model.fit(*causal_rows(4), validation_data=d),
    ):
        with pytest.raises(ValueError, match="does not take a Python generator"):
            call(data)


def test_a_model_that_was_not_compiled_raises():
    for call in (Toy().fit, Toy().evaluate):
        with pytest.raises(ValueError, match="needs a compiled model"):
            call(*masked_rows(4)[:2])


def test_bfloat16_trains():
    _, history = learn(20, dtype="mixed_bfloat16")
    assert history["loss"][1] < 0.8 * history["loss"][0]


def test_float16_trains_and_is_restored_with_its_loss_scale(tmp_path):
    model, history = learn(20, dtype="mixed_float16")
    assert history["loss"][1] < 0.8 * history["loss"][0]
    assert isinstance(model.optimizer, LossScaleOptimizer)
    model.save(tmp_path / "toy.keras")
    again = keras.models.load_model(tmp_path / "toy.keras")
    assert isinstance(again.optimizer, LossScaleOptimizer)
    for ours, theirs in zip(model.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(theirs.numpy(), ours.numpy(), err_msg=ours.path)
    assert planned(again) == planned(model) == 20


@pytest.mark.slow
def test_xla_trains_as_the_plain_graph_does():
    inputs, labels, weights = masked_rows(8)
    weights_after = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(1)
        model = Toy()
        model.compile(learning_rate=0.01, jit_compile=jit_compile)
        model.fit(inputs, labels, sample_weight=weights, batch_size=4, shuffle=False, verbose=0)
        weights_after.append(model.get_weights())
    for plain, compiled in zip(*weights_after, strict=True):
        np.testing.assert_allclose(compiled, plain, atol=1e-5)


def test_a_step_is_traced_once():
    traces = []

    class Counted(Toy):
        def call(self, inputs, training=None):
            traces.append(training)
            return super().call(inputs, training=training)

    model = Counted()
    model.compile()
    model.fit(tf.data.Dataset.from_tensors(masked_rows(8)).repeat(3), epochs=2, verbose=0)
    assert traces.count(True) == 1
    assert int(model.optimizer.iterations.numpy()) == 6
