"""What is frozen by depth does not train, and is free again when that is said."""

import numpy as np
import pytest

import keras_lm
from keras_lm import ELECTRA, GPT, Transformer

SIZES = {
    "vocab_size": 30,
    "hidden_size": 8,
    "num_layers": 3,
    "num_attention_heads": 2,
    "num_hidden_units": 12,
    "dropout_rate": 0.0,
    "max_length": 16,
}


def parts(weights):
    return {weight.path.split("/")[2 if "decoder" in weight.path else 1] for weight in weights}


def test_frozen_weights_stay_and_others_train(tmp_path):
    model = GPT(**SIZES)
    model.freeze(embeddings=True, blocks=2)
    assert parts(model.trainable_weights) == {"block_2", "norm"}
    assert parts(model.frozen) == {"embedding", "block_0", "block_1"}
    before = [weight.numpy() for weight in model.weights]
    model.compile(learning_rate=0.1)
    ids = np.random.default_rng(0).integers(0, 30, (4, 8)).astype("int32")
    model.fit({"token_ids": ids[:, :-1]}, ids[:, 1:], verbose=0)
    trains = {id(weight) for weight in model.trainable_weights}
    for weight, value in zip(model.weights, before, strict=True):
        assert np.array_equal(weight, value) == (id(weight) not in trains)

    model.save(tmp_path / "model.keras")
    again = keras_lm.load(tmp_path / "model.keras")
    assert parts(again.trainable_weights) == {"block_2", "norm"}
    again.freeze(blocks=1)
    assert parts(again.frozen) == {"block_0"}
    again.freeze()
    assert len(again.trainable_weights) == len(again.weights)


def test_a_decoder_stands_above_its_encoder_and_constants_stay_constants():
    model = Transformer(**SIZES, decoder_start_ids=[1], logits_bias=True)
    model.build()
    (constant,) = model.non_trainable_weights
    model.freeze(embeddings=True, blocks=4)
    sides = {weight.path.split("/")[1] for weight in model.trainable_weights}
    assert sides == {"decoder"}
    assert not any("block_0" in weight.path for weight in model.trainable_weights)
    model.freeze()
    assert [id(weight) for weight in model.non_trainable_weights] == [id(constant)]


def test_a_projection_belongs_to_the_embeddings():
    model = ELECTRA(**SIZES, embedding_size=4)
    model.freeze(embeddings=True)
    assert any("projection" in weight.path for weight in model.frozen)


@pytest.mark.parametrize("blocks", [-1, 4, "all"])
def test_there_are_only_so_many_blocks(blocks):
    with pytest.raises(ValueError, match=r"blocks must be in 0 \.\. 3"):
        GPT(**SIZES).freeze(blocks=blocks)
