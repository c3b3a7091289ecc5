"""What lies beside the weights."""

import json

import pytest
from directory_changes import change_config, change_tensors, same_weights

from keras_lm import tokenizers
from keras_lm.checkpoints import load, save
from keras_lm.models import resize_token_embeddings
from keras_lm.tokenizers import train_wordpiece


def test_a_tokenizer_with_more_tokens_than_the_model_waits_until_there_is_room(directory):
    def cut(tensors):
        for name in ("bert.embeddings.word_embeddings.weight", "cls.predictions.bias"):
            tensors[name] = tensors[name][:250]

    change_tensors(directory, cut)
    change_config(directory, vocab_size=250)
    with pytest.warns(UserWarning, match=r"it has 300 tokens, the model 250; .* makes room"):
        model = load(directory)
    assert model.tokenizer is None
    model = resize_token_embeddings(model, 300)
    model.tokenizer = tokenizers.load(directory)
    save(model, directory)
    assert load(directory).tokenizer.vocab_size == 300


def test_what_lies_beside_the_weights_travels_along(directory, tmp_path):
    labels = {"0": "no", "1": "yes"}
    change_config(directory, id2label=labels, pad_token_id=7, num_beams=4)
    (directory / "generation_config.json").write_text('{"max_length": 9}')
    (directory / "special_tokens_map.json").write_text("{ }")
    model = load(directory)
    assert model.companions.fields["id2label"] == labels
    save(model, tmp_path / "again")
    config = json.loads((tmp_path / "again/config.json").read_text())
    assert (config["id2label"], config["pad_token_id"], config["num_beams"]) == (labels, 7, 4)
    for path in directory.iterdir():
        # The card says where a model was loaded from.
        if path.name not in ("config.json", "model.safetensors", "README.md"):
            assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_another_tokenizer_replaces_the_files_of_the_first(directory, topics):
    (directory / "added_tokens.json").write_text("{}")
    model = load(directory)
    model.tokenizer = train_wordpiece([topics], 200)
    save(model, directory)
    assert not (directory / "added_tokens.json").exists()
    assert load(directory).tokenizer.vocab_size == 200


def test_a_tokenizer_that_cannot_be_read_is_a_warning_and_its_files_stay(directory, tmp_path):
    (directory / "tokenizer.json").write_text("{}")
    with pytest.warns(UserWarning, match=r"tokenizer in .* can't be used, so the model has none: "):
        model = load(directory)
    assert model.tokenizer is None
    save(model, tmp_path / "again")
    assert (tmp_path / "again/tokenizer.json").read_text() == "{}"


def test_saving_leaves_other_peoples_files_alone(written, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "runs").mkdir()
    save(written[0], tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"
    assert (tmp_path / "runs").is_dir()
    assert same_weights(load(tmp_path), written[0])
