"""Adapters train in the place of the model beneath, in every kind of training, and in files."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from training_toys import masked_rows

import keras_lm
from keras_lm import BERT, GPT, Transformer
from keras_lm.training import Checkpoints, Constant

SIZES = {
    "hidden_size": 8,
    "num_layers": 2,
    "num_attention_heads": 2,
    "num_hidden_units": 12,
    "dropout_rate": 0.0,
    "max_length": 16,
    "initializer_range": 0.3,
}
IDS = np.random.default_rng(0).integers(0, 30, (4, 7)).astype("int32")


def gpt(**arguments):
    model = GPT(30, **{**SIZES, **arguments})
    model.build()
    return model


def shaken(model, seed=0):
    """With updates that are not zero."""
    random = np.random.default_rng(seed)
    for weight in model.lora_weights:
        weight.assign(random.normal(0, 0.3, weight.shape))
    return model


def causal():
    ids = np.random.default_rng(1).integers(0, 30, (8, 8)).astype("int32")
    rows = ({"token_ids": ids[:, :-1]}, ids[:, 1:])
    return tf.data.Dataset.from_tensor_slices(rows).batch(4)


def test_at_first_nothing_changes_and_adapters_alone_train():
    model = gpt()
    before = model(IDS)
    model.add_lora(3, targets=("query", "value", "attention_output", "feed_forward_in"))
    np.testing.assert_array_equal(model(IDS), before)
    names = {weight.path.split("/", 2)[2] for weight in model.trainable_weights}
    assert {name for name in names if name.startswith("block_1")} == {
        f"block_1/{layer}/lora_{matrix}"
        for layer, part in (
            ("attention/query_key_value", ("query_", "value_")),
            ("attention/output", ("",)),
            ("feed_forward_in", ("",)),
        )
        for matrix in [f"{p}{letter}" for p in part for letter in "ab"]
    }
    frozen = [weight.numpy() for weight in model.frozen]
    model.compile(learning_rate=0.1)
    first = model.evaluate(causal(), verbose=0, return_dict=True)["loss"]
    model.fit(causal(), epochs=20, verbose=0)
    assert model.evaluate(causal(), verbose=0, return_dict=True)["loss"] < 0.9 * first
    for weight, value in zip(model.frozen, frozen, strict=True):
        np.testing.assert_array_equal(weight, value)


def transformer():
    return Transformer(30, **SIZES, decoder_start_ids=[1])


@pytest.mark.parametrize(
    ("make", "inputs", "targets"),
    [
        (gpt, IDS, ("query", "key", "feed_forward_out")),
        (gpt, IDS, ("query_key_value",)),
        (lambda: BERT(30, **SIZES), IDS, "value"),
        (transformer, {"token_ids": IDS, "decoder_token_ids": IDS}, ("query", "value")),
    ],
)
def test_merged_kernels_are_sums_and_answer_the_same(make, inputs, targets):
    model = make()
    model.build()
    kernels = {w.path: w.numpy() for w in model.weights if w.name == "kernel"}
    model.add_lora(2, alpha=6, targets=targets)
    shaken(model)
    plain = model.merge_lora()
    assert not plain.has_lora
    assert plain.trainable_weights
    np.testing.assert_allclose(plain(inputs), model(inputs), atol=2e-5)
    changed = 0
    places = [place for place in model.lora_places() if place.dense.updates]
    for weight in plain.weights:
        if weight.name != "kernel":
            continue
        expected = kernels[weight.path].copy()
        dense = next((p.dense for p in places if p.dense.kernel.path == weight.path), None)
        for update in dense.updates if dense is not None else ():
            product = 3 * update.a.numpy() @ update.b.numpy()
            expected[:, update.first : update.last] += product
            changed += 1
        np.testing.assert_allclose(weight, expected, atol=1e-6)
    assert changed == len(model.lora_weights) / 2
    # The model itself is as it was.
    for weight in model.weights:
        if weight.path in kernels:
            np.testing.assert_array_equal(weight, kernels[weight.path])


@pytest.mark.slow  # two graphs of a decode loop
def test_a_cache_sees_the_adapters_and_graphs_are_made_anew():
    model = gpt()
    before = model.generate([1, 2, 3], max_new_tokens=6)
    model.add_lora(4)
    shaken(model)
    found = model.generate([1, 2, 3], max_new_tokens=6)
    assert found != before
    ids = [1, 2, 3]
    for _ in range(6):
        ids.append(int(np.argmax(model(np.array([ids], "int32"))[0, -1])))
    assert found == ids


def test_half_precision_keeps_adapters_in_float32():
    model = gpt(dtype="bfloat16")
    model.add_lora(2)
    assert {weight.dtype for weight in model.lora_weights} == {"float32"}
    shaken(model)
    np.testing.assert_allclose(model.merge_lora()(IDS), model(IDS), atol=0.2)


def test_a_keras_file_brings_adapters_and_what_is_frozen_back(tmp_path):
    model = gpt()
    model.add_lora(2)
    shaken(model)
    model.compile(learning_rate=0.01)
    model.fit(causal(), verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras_lm.load(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(IDS), model(IDS))
    paths = [[w.path for w in m.trainable_weights] for m in (model, again)]
    assert paths[0] == paths[1]
    assert len(again.optimizer.variables) == len(model.optimizer.variables)


@pytest.mark.slow  # four trainings
def test_a_training_goes_on_and_two_replicas_train_as_one(tmp_path, replicas):
    def made(scope=None):
        keras.utils.set_random_seed(0)
        with replicas.scope() if scope else keras.name_scope("one"):
            model = gpt(name="gpt")
            model.add_lora(2)
        model.compile(learning_rate=Constant(0.01))
        return model

    whole, cut, spread = made(), made(), made(replicas)
    whole.fit(causal(), epochs=2, verbose=0)
    cut.fit(causal(), epochs=1, verbose=0, callbacks=[Checkpoints(tmp_path)])
    cut = made()
    cut.fit(causal(), epochs=2, verbose=0, callbacks=[Checkpoints(tmp_path)])
    spread.fit(causal(), epochs=2, verbose=0)
    for one, other, third in zip(
        whole.lora_weights, cut.lora_weights, spread.lora_weights, strict=True
    ):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(one, third, atol=1e-6)


def test_the_head_of_a_task_trains_too():
    task = keras_lm.TextClassifier(BERT(30, **SIZES, heads=(), pooler=True), 2)
    task.add_lora(2)
    names = {weight.path.rsplit("/", 2)[-2] for weight in task.trainable_weights}
    assert names == {"query_key_value", "pooler", "classifier"}
    other = keras_lm.TextClassifier(BERT(30, **SIZES, heads=()), 2)
    other.add_lora(2, train_head=False)
    assert set(map(id, other.trainable_weights)) == set(map(id, other.lora_weights))


@pytest.mark.slow  # it recomputes and accumulates
def test_masks_and_parts_of_batches_train_with_adapters():
    model = BERT(40, **SIZES)
    model.add_lora(2, train_head=True)
    assert any("masked_lm" in weight.path for weight in model.trainable_weights)
    model.compile(gradient_accumulation_steps=2, recompute=True)
    model.fit(tf.data.Dataset.from_tensor_slices(masked_rows(8)).batch(4), verbose=0)


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"rank": 0}, "rank must be a positive integer"),
        ({"alpha": -1}, "alpha must be positive"),
        ({"targets": ("queries",)}, "targets must be different ones of query"),
        ({"targets": ("query", "query_key_value")}, "none beside its parts"),
        ({"targets": ()}, "targets must be"),
    ],
)
def test_what_cannot_be_raises(arguments, rule):
    with pytest.raises(ValueError, match=rule):
        gpt().add_lora(**arguments)


def test_there_is_one_set_and_a_compiled_model_is_compiled_again():
    model = gpt()
    with pytest.raises(ValueError, match="for a model behind add_lora"):
        model.merge_lora()
    model.compile()
    model.add_lora(2)
    with pytest.raises(ValueError, match="needs a compiled model"):
        model.fit(causal())
    for deed in (model.add_lora, model.freeze):
        with pytest.raises(ValueError, match="Received: a GPT behind add_lora"):
            deed()
