"""Construction, configuration and files of the base model."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from training_toys import Toy, ToyTokenizer, V, masked_rows

from keras_lm.training import LanguageModel


def test_the_config_is_flat_and_names_every_argument():
    model = Toy(20, dtype="mixed_bfloat16", name="small", tokenizer=ToyTokenizer("abc"))
    config = model.get_config()
    assert config.pop("tokenizer")["config"] == {"tokens": ["a", "b", "c"]}
    assert config == {
        "vocab_size": 20,
        "hidden_size": 8,
        "dropout_rate": 0.0,
        "penalty": 0.0,
        "heads": ["masked_lm"],
        "name": "small",
        "trainable": True,
        "dtype": "mixed_bfloat16",
    }


def test_a_config_is_json_and_makes_the_same_model():
    model = Toy(20, 4, heads=("masked_lm", "next_sentence"), tokenizer=ToyTokenizer("abc"))
    again = Toy.from_config(json.loads(json.dumps(model.get_config())))
    assert again.get_config() == model.get_config()
    assert again.heads == ("masked_lm", "next_sentence")
    assert again.tokenizer.tokens == ["a", "b", "c"]


def test_a_dtype_policy_that_is_no_name_is_restored():
    policy = keras.dtype_policies.QuantizedDTypePolicy("int8", "float32")
    again = Toy.from_config(Toy(dtype=policy).get_config())
    assert again.dtype_policy == policy


def test_an_unknown_key_raises_and_is_named():
    config = {**Toy().get_config(), "hiden_size": 3}
    with pytest.raises(TypeError, match=r"hidden_size.*Received: hiden_size"):
        Toy.from_config(config)
    with pytest.raises(TypeError, match="Received: hiden_size"):
        Toy(hiden_size=3)
    with pytest.raises(TypeError, match="Toy: too many positional"):
        Toy(1, 2, 3)


def test_a_constructor_of_nameless_arguments_is_refused():
    class Nameless(LanguageModel):
        def __init__(self, *sizes):
            super().__init__()

    with pytest.raises(TypeError, match=r"Nameless.__init__\(\*sizes\)"):
        Nameless(1, 2)


@pytest.mark.parametrize("heads", ["masked_lm", ("mlm",), ("masked_lm", "masked_lm")])
def test_heads_must_be_known_and_different(heads):
    with pytest.raises(ValueError, match="heads must be"):
        LanguageModel(heads=heads)


def test_a_tokenizer_can_be_set_and_is_saved_with_the_model():
    model = Toy()
    model.tokenizer = ToyTokenizer("xyz")
    assert Toy.from_config(model.get_config()).tokenizer.tokens == ["x", "y", "z"]
    model.tokenizer = None
    assert Toy.from_config(model.get_config()).tokenizer is None


def test_a_tokenizer_with_more_tokens_than_the_vocabulary_raises():
    with pytest.raises(ValueError, match="3 tokens, vocab_size=2"):
        Toy(2, tokenizer=ToyTokenizer("abc"))
    model = Toy(3, tokenizer=ToyTokenizer("abc"))
    with pytest.raises(ValueError, match="4 tokens, vocab_size=3"):
        model.tokenizer = ToyTokenizer("abcd")
    assert model.tokenizer.vocab_size == 3


def test_what_needs_a_tokenizer_says_so():
    with pytest.raises(ValueError, match=r"generate\(\) from text needs a tokenizer"):
        Toy().require_tokenizer("generate() from text")
    tokenizer = ToyTokenizer()
    assert Toy(tokenizer=tokenizer).require_tokenizer("generate()") is tokenizer


def test_a_file_restores_weights_optimizer_and_schedule(tmp_path):
    inputs, labels, weights = masked_rows(16)
    model = Toy(tokenizer=ToyTokenizer())
    model.compile(learning_rate=0.01)
    model.fit(inputs, labels, sample_weight=weights, batch_size=8, epochs=4, verbose=0)
    model.save(tmp_path / "toy.keras")
    again = keras.models.load_model(tmp_path / "toy.keras")

    np.testing.assert_array_equal(
        again.predict(inputs, verbose=0), model.predict(inputs, verbose=0)
    )
    assert again.tokenizer.tokens == model.tokenizer.tokens
    assert again.optimizer.get_config() == model.optimizer.get_config()
    for ours, theirs in zip(model.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(theirs.numpy(), ours.numpy(), err_msg=ours.path)

    # Both go on alike: the defaults of compile() are the same again.
    ours, theirs = (
        m.fit(
            inputs, labels, sample_weight=weights, batch_size=8, epochs=2, shuffle=False, verbose=0
        )
        for m in (model, again)
    )
    assert theirs.history == ours.history
    assert model.optimizer.get_config()["learning_rate"]["config"]["planned_steps"] == 12


def test_a_model_that_was_compiled_and_never_trained_is_saved_whole(tmp_path):
    model = Toy()
    model.compile()
    model.save(tmp_path / "toy.keras")
    again = keras.models.load_model(tmp_path / "toy.keras")
    assert len(again.optimizer.variables) == len(model.optimizer.variables) > 1


def test_a_file_restores_what_compile_was_given(tmp_path):
    model = Toy(heads=("causal_lm",))
    model.build(None)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.5), loss, metrics=["sparse_categorical_accuracy"])
    model.save(tmp_path / "toy.keras")
    again = keras.models.load_model(tmp_path / "toy.keras")
    assert isinstance(again.optimizer, keras.optimizers.SGD)
    assert again.optimizer.learning_rate.numpy() == 0.5
    assert again.loss.from_logits
    ids = masked_rows(4)[0]["token_ids"]
    names = again.evaluate({"token_ids": ids}, ids, verbose=0, return_dict=True)
    assert set(names) == {"loss", "sparse_categorical_accuracy"}


def test_a_file_is_read_in_a_fresh_process(tmp_path):
    inputs = masked_rows(4)[0]
    model = Toy(tokenizer=ToyTokenizer())
    outputs = model.predict(inputs, verbose=0)
    model.compile()
    model.save(tmp_path / "toy.keras")
    np.savez(tmp_path / "inputs.npz", **inputs)
    program = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
import keras, numpy as np
import keras_lm.models, training_toys
model = keras.models.load_model({str(tmp_path / "toy.keras")!r})
inputs = dict(np.load({str(tmp_path / "inputs.npz")!r}))
np.save({str(tmp_path / "outputs.npy")!r}, model.predict(inputs, verbose=0))
assert model.tokenizer.tokens == ["a", "b"]
assert model.compiled
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=120)
    np.testing.assert_array_equal(np.load(tmp_path / "outputs.npy"), outputs)


def test_the_vocabulary_of_numpy_ids_is_checked():
    model = Toy()
    inputs = masked_rows(4)[0]
    inputs["token_ids"][2, 1] = V
    with pytest.raises(ValueError, match=f"0 .. {V - 1}.*Received: ids from 0 to {V}"):
        model.predict(inputs, verbose=0)
