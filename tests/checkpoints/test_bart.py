import json

import numpy as np
import pytest
from directory_changes import change_config, change_tensors, same_weights

from keras_lm import Transformer
from keras_lm.checkpoints import load, save

BART = {
    "position_kind": "learned",
    "first_position": 2,
    "scale_embedding": False,
    "normalize_embedding": True,
    "activation": "gelu",
    "initializer_range": 0.02,
}
INPUTS = {"token_ids": np.arange(5, 11).reshape(2, 3), "decoder_token_ids": np.array([[2], [3]])}


def transformer(**options):
    return Transformer(20, 8, 1, 2, 12, max_length=16, **options)


@pytest.fixture
def directory(tmp_path):
    return save(transformer(logits_bias=True, decoder_start_ids=(2,), end_id=2, **BART), tmp_path)


def test_the_architecture_is_barts_where_the_arguments_are(directory):
    config = json.loads((directory / "config.json").read_text())
    assert config["architectures"] == ["BartForConditionalGeneration"]
    assert (config["decoder_start_token_id"], config["eos_token_id"]) == (2, 2)


def test_the_constant_of_the_logits_is_there_where_the_file_has_it(directory):
    assert load(directory).seq2seq.bias.shape == (20,)
    change_tensors(directory, lambda tensors: tensors.pop("final_logits_bias"))
    assert load(directory).constructor_arguments["logits_bias"] is False


def test_a_table_that_only_the_encoder_holds_is_the_shared_one(directory):
    whole = load(directory)

    def move(tensors):
        tensors["model.encoder.embed_tokens.weight"] = tensors.pop("model.shared.weight")

    change_tensors(directory, move)
    assert same_weights(load(directory), whole)


@pytest.mark.parametrize(
    ("fields", "generation", "start"),
    [
        ({}, {}, (2,)),
        ({"forced_bos_token_id": 0}, {}, (2, 0)),
        ({"forced_bos_token_id": 0}, {"forced_bos_token_id": 7}, (2, 7)),
        ({}, {"decoder_start_token_id": 5}, (5,)),
        ({"force_bos_token_to_be_generated": True, "bos_token_id": 0}, {}, (2, 0)),
    ],
)
def test_what_a_target_begins_with_is_honoured(directory, fields, generation, start):
    change_config(directory, **fields)
    (directory / "generation_config.json").write_text(json.dumps(generation))
    model = load(directory)
    assert tuple(model.start_ids) == start
    assert model.end_id == 2


def test_dropout_that_there_is_not_is_named(directory):
    change_config(directory, activation_dropout=0.1)
    with pytest.warns(UserWarning, match=r"activation_dropout=0\.1; in training there is no such"):
        load(directory)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("normalize_before", True),
        ("add_final_layer_norm", True),
        ("static_position_embeddings", True),
        ("tie_word_embeddings", False),
        ("is_encoder_decoder", False),
        ("eos_token_id", "</s>"),
        ("decoder_start_token_id", [2]),
    ],
)
def test_barts_that_compute_something_else_are_refused(directory, field, value):
    change_config(directory, **{field: value})
    with pytest.raises(ValueError, match=rf"config\.json with {field}="):
        load(directory)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {**BART, "first_position": 0},
        {**BART, "pos_embedding_size": 4},
        {**BART, "heads": (), "num_decoder_layers": 2, "layer_norm_epsilon": 1e-3},
    ],
)
def test_other_transformers_are_saved_under_a_name_of_our_own(tmp_path, options):
    model = transformer(**options)
    save(model, tmp_path)
    assert (
        json.loads((tmp_path / "config.json").read_text())["model_type"] == "keras_lm_transformer"
    )
    again = load(tmp_path)
    assert same_weights(again, model)
    np.testing.assert_array_equal(again(INPUTS), model(INPUTS))
