"""What load makes of a directory that is as it should be, and of one that is not."""

import json
import shutil

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
from directory_changes import change_config, change_tensors, same_weights

from keras_lm import BERT, GPT
from keras_lm.checkpoints import load, save


def test_a_directory_gives_the_model_and_its_tokenizer_back(written):
    model, directory = written
    again = load(directory)
    assert again.heads == ("masked_lm",)
    assert same_weights(again, model)
    assert again.tokenizer.tokens == model.tokenizer.tokens
    assert again.fill_mask("The [MASK]", 3) == model.fill_mask("The [MASK]", 3)


def test_what_transformers_needs_to_know_is_in_config_json(written):
    config = json.loads((written[1] / "config.json").read_text())
    wanted = {
        "architectures": ["BertForMaskedLM"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "intermediate_size": 12,
        "pad_token_id": 0,
        "torch_dtype": "float32",
    }
    assert {name: config[name] for name in wanted} == wanted


def test_a_task_takes_the_heads_that_are_wanted_instead(directory):
    with pytest.warns(UserWarning, match=r"left out: cls\.predictions\.bias, cls\."):
        assert load(directory, "backbone").heads == ()
    with pytest.raises(ValueError, match=r"lacks bert\.pooler\.dense\.weight of shape \(8, 8\)"):
        load(directory, ("masked_lm", "next_sentence"))
    with pytest.raises(ValueError, match=r"task must be .*Received: task='causal_lm'"):
        load(directory, "causal_lm")


def test_without_architectures_the_file_says_which_heads_there_are(directory):
    change_config(directory, architectures="GONE")
    assert load(directory).heads == ("masked_lm",)
    change_tensors(directory, lambda tensors: [tensors.pop(n) for n in list(tensors) if "cls" in n])
    assert load(directory).heads == ()


def test_a_pooler_comes_along_where_the_file_has_one(tmp_path):
    model = BERT(20, 8, 1, 2, 12, max_length=16, heads=(), pooler=True)
    save(model, tmp_path)
    assert same_weights(load(tmp_path), model)
    change_tensors(tmp_path, lambda tensors: [tensors.pop(n) for n in list(tensors) if "pool" in n])
    assert not hasattr(load(tmp_path), "pooler")


def test_an_interrupted_save_is_finished_by_the_next_load(written, directory, tmp_path):
    """Everything was written and the turning point passed, but no file was moved yet."""
    other = BERT(20, 4, 1, 1, 6, max_length=8)
    save(other, tmp_path / "new")
    folder = directory / ".keras_lm-save-1"
    shutil.copytree(tmp_path / "new", folder)
    names = sorted(path.name for path in folder.iterdir())
    stale = [p.name for p in directory.iterdir() if p.name not in names and p.is_file()]
    journal = {"folder": folder.name, "files": names, "removed": stale}
    (directory / ".keras_lm-save.json").write_text(json.dumps(journal))
    assert same_weights(load(directory), other)
    assert sorted(path.name for path in directory.iterdir()) == names


def test_what_no_architecture_can_say_is_saved_under_a_name_of_our_own(tmp_path):
    model = BERT(20, 8, 2, 2, 12, 4, max_length=16, activation="softplus", heads=("masked_lm",))
    save(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "keras_lm_bert"
    assert "architectures" not in config
    again = load(tmp_path)
    assert same_weights(again, model)
    ids = np.arange(10).reshape(2, 5)
    np.testing.assert_array_equal(again(ids), model(ids))
    change_config(tmp_path, arguments={**config["arguments"], "hidden_width": 3})
    with pytest.raises(ValueError, match=r"arguments must be of .*hidden_size"):
        load(tmp_path)


@pytest.mark.parametrize(
    "options",
    [{"pos_embedding_size": 4}, {"head_dim": 3}, {"window": 3}, {"activation": "softplus"}],
)
def test_arguments_that_gpt2_has_no_field_for_are_kept(tmp_path, options):
    model = GPT(20, 8, 2, 2, 12, max_length=16, **options)
    save(model, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "keras_lm_gpt"
    again = load(tmp_path)
    assert same_weights(again, model)
    ids = np.arange(10).reshape(2, 5)
    np.testing.assert_array_equal(again(ids), model(ids))


def test_directories_that_are_no_model_say_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must hold config\.json.*with nothing"):
        load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(FileNotFoundError, match=r"must hold model\.safetensors"):
        load(tmp_path)
    for text in ("{", "[]", "[" * 10**5):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ValueError, match=r"config\.json must be"):
            load(tmp_path)


def test_a_file_of_another_family_is_refused(directory, tmp_path):
    save(GPT(310, 8, 1, 2, 12, max_length=16), tmp_path / "gpt")
    shutil.copy(tmp_path / "gpt/model.safetensors", directory)
    with pytest.raises(ValueError, match=r"lacks .*embeddings.*It holds transformer\.wte\.weight"):
        load(directory)


def test_save_refuses_what_it_cannot_write(written, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="save writes into a directory"):
        save(written[0], tmp_path / "file")
    with pytest.raises(ValueError, match="A size is"):
        save(written[0], tmp_path / "new", max_shard_size="huge")
    with pytest.raises(ValueError, match="A model must be one of BERT"):
        save(object(), tmp_path / "new")
    assert not (tmp_path / "new").exists()


GOOGLE = {
    "embeddings.word_embeddings.weight": "embeddings/word_embeddings",
    "embeddings.token_type_embeddings.weight": "embeddings/token_type_embeddings",
    "embeddings.position_embeddings.weight": "embeddings/position_embeddings",
    "cls.predictions.bias": "cls/predictions/output_bias",
}


def google_name(name):
    for theirs, google in GOOGLE.items():
        if name.endswith(theirs):
            return name.replace(theirs, google).replace(".", "/")
    layer, _, leaf = name.rpartition(".")
    norm = layer.endswith("LayerNorm")
    leaf = {"weight": "gamma", "bias": "beta"}[leaf] if norm else leaf.replace("weight", "kernel")
    return f"{layer}.{leaf}".replace(".layer.", ".layer_").replace(".", "/")


def test_a_directory_of_googles_own_code_is_the_same_model(directory, written, tmp_path):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, array in safetensors.numpy.load_file(directory / "model.safetensors").items():
            google = google_name(name)
            value = array.T if google.endswith("/kernel") else array
            tf.compat.v1.get_variable(google, initializer=value)
            tf.compat.v1.get_variable(f"{google}/adam_m", initializer=0 * value)
        tf.compat.v1.get_variable("global_step", initializer=3)
        session.run(tf.compat.v1.global_variables_initializer())
        saver = tf.compat.v1.train.Saver()
        saver.save(session, str(tmp_path / "google/bert_model.ckpt"))
    google = tmp_path / "google"
    (google / "checkpoint").unlink()
    config = json.loads((directory / "config.json").read_text())
    for field in ("architectures", "model_type", "layer_norm_eps", "torch_dtype"):
        del config[field]
    (google / "bert_config.json").write_text(json.dumps(config))
    shutil.copy(directory / "vocab.txt", google)
    model = load(google)
    assert model.heads == ("masked_lm",)
    assert same_weights(model, written[0])
    assert model.tokenizer.tokens == written[0].tokenizer.tokens
