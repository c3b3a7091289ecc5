"""What load makes of a directory that is as it should be, and of one that is not."""

import json
import shutil

import h5py
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from keras_lm import BERT, GPT
from keras_lm.checkpoints import load, save
from keras_lm.tokenizers import train_wordpiece


@pytest.fixture(scope="module")
def tokenizer(topics):
    return train_wordpiece([topics], 300)


@pytest.fixture(scope="module")
def written(tokenizer, tmp_path_factory):
    model = BERT(310, 8, 2, 2, 12, max_length=16, heads=("masked_lm",), tokenizer=tokenizer)
    for variable in (model.build(), model.weights)[1]:
        variable.assign(np.random.default_rng(variable.shape[0]).normal(size=variable.shape))
    return model, save(model, tmp_path_factory.mktemp("written") / "bert")


@pytest.fixture
def directory(written, tmp_path):
    return shutil.copytree(written[1], tmp_path / "bert")


def change_config(directory, **fields):
    path = directory / "config.json"
    values = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({k: v for k, v in values.items() if v != "GONE"}))


def change_tensors(directory, change):
    path = directory / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    change(tensors)
    safetensors.numpy.save_file(tensors, path, {"format": "pt"})


def same_weights(one, other):
    return all(
        np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True)
    )


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


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_files_of_other_dtypes_load_into_float32(directory, written, dtype):
    kind = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    change_tensors(
        directory, lambda tensors: tensors.update({k: v.astype(kind) for k, v in tensors.items()})
    )
    model = load(directory)
    assert {str(variable.dtype) for variable in model.weights} == {"float32"}
    for ours, exact in zip(model.weights, written[0].weights, strict=True):
        np.testing.assert_array_equal(ours, np.asarray(exact).astype(kind).astype("float32"))


def test_a_model_can_be_loaded_in_another_dtype_and_saved_in_it(directory, tmp_path):
    model = load(directory, dtype="bfloat16")
    assert {variable.dtype for variable in model.weights} == {"bfloat16"}
    save(model, tmp_path / "again")
    assert json.loads((tmp_path / "again/config.json").read_text())["torch_dtype"] == "bfloat16"
    again = load(tmp_path / "again")
    for ours, half in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ours, np.asarray(half).astype("float32"))
    mixed = load(directory, dtype="mixed_bfloat16")
    assert {variable.dtype for variable in mixed.weights} == {"float32"}


def test_a_model_is_saved_in_another_dtype_than_its_own(written, tmp_path):
    save(written[0], tmp_path, dtype="float16")
    for name, array in safetensors.numpy.load_file(tmp_path / "model.safetensors").items():
        assert array.dtype == "float16", name
    for ours, exact in zip(load(tmp_path).weights, written[0].weights, strict=True):
        np.testing.assert_array_equal(ours, np.asarray(exact).astype("float16"))
    with pytest.raises(ValueError, match="dtype must be None or of float16"):
        save(written[0], tmp_path, dtype="int8")


def test_weights_too_large_for_the_dtype_leave_the_old_files(directory):
    model = load(directory)
    model.masked_lm.bias.assign(model.masked_lm.bias + 1e6)
    with pytest.raises(ValueError, match=r"float16, for which cls\.predictions\.bias is too large"):
        save(model, directory, dtype="float16")
    assert load(directory).masked_lm.bias.numpy().max() < 1e6


def test_a_model_in_several_files_is_the_same(written, tmp_path):
    save(written[0], tmp_path, max_shard_size="4KB")
    assert len(list(tmp_path.glob("*.safetensors"))) == 3
    assert same_weights(load(tmp_path), written[0])
    save(written[0], tmp_path)  # And back: of the several none is left.
    assert [path.name for path in tmp_path.glob("*.safetensors*")] == ["model.safetensors"]
    assert same_weights(load(tmp_path), written[0])


def test_norms_may_have_a_gamma_and_a_beta_as_in_early_files(directory, written):
    def rename(tensors):
        for name in [name for name in tensors if "LayerNorm" in name]:
            old = name.replace("weight", "gamma").replace("bias", "beta")
            tensors[old] = tensors.pop(name)

    change_tensors(directory, rename)
    assert same_weights(load(directory), written[0])


def test_tied_weights_that_are_stored_twice_must_be_equal(directory, written):
    table = "bert.embeddings.word_embeddings.weight"
    twin = "cls.predictions.decoder.weight"
    change_tensors(directory, lambda tensors: tensors.update({twin: tensors[table]}))
    assert same_weights(load(directory), written[0])
    change_tensors(directory, lambda tensors: tensors.pop(table))  # One of the two is enough.
    assert same_weights(load(directory), written[0])
    change_tensors(directory, lambda tensors: tensors.update({table: tensors[twin] + 1}))
    with pytest.raises(ValueError, match=r"must equal bert\.embeddings\.word_embeddings"):
        load(directory)


def test_a_tensor_that_the_model_does_not_have_is_named(directory):
    extra = {"bert.encoder.adapter.weight": np.ones(2, "float32")}
    change_tensors(directory, lambda tensors: tensors.update(extra))
    with pytest.warns(UserWarning, match=r"heads=\('masked_lm',\).*bert\.encoder\.adapter\.weight"):
        load(directory)


def test_buffers_of_early_files_are_known(directory):
    ids = {"bert.embeddings.position_ids": np.arange(16)[None]}
    change_tensors(directory, lambda tensors: tensors.update(ids))
    load(directory)


def test_missing_tensors_and_other_shapes_are_named_with_shape_and_file(directory):
    def spoil(tensors):
        tensors.pop("bert.encoder.layer.1.output.dense.weight")
        tensors["cls.predictions.bias"] = np.zeros(309, "float32")

    change_tensors(directory, spoil)
    with pytest.raises(
        ValueError,
        match=r"model\.safetensors lacks bert\.encoder\.layer\.1\.output\.dense\.weight of shape "
        r"\(8, 12\); has cls\.predictions\.bias of shape \(309,\), not \(310,\)",
    ):
        load(directory)


def test_weights_of_integers_are_refused(directory):
    bias = "cls.predictions.bias"
    change_tensors(directory, lambda tensors: tensors.update({bias: np.zeros(310, "int8")}))
    with pytest.raises(ValueError, match=r"cls\.predictions\.bias of dtype int8"):
        load(directory)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(directory, value):
    def spoil(tensors):
        tensors["bert.encoder.layer.0.attention.self.key.weight"][3, 1] = value

    change_tensors(directory, spoil)
    with pytest.raises(ValueError, match=r"layer\.0\.attention\.self\.key\.weight has NaN or inf"):
        load(directory)


def test_weights_that_overflow_in_the_wanted_dtype_are_refused(directory):
    def spoil(tensors):
        tensors["cls.predictions.bias"][0] = 1e30

    change_tensors(directory, spoil)
    load(directory)
    with pytest.raises(ValueError, match=r"in float16 too"):
        load(directory, dtype="float16")


def test_a_vocabulary_and_a_table_of_other_sizes_are_refused(directory):
    change_config(directory, vocab_size=311)
    with pytest.raises(ValueError, match=r"vocab_size=311.*word_embeddings\.weight.*\(310, 8\)"):
        load(directory)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(directory):
    def cut(tensors):
        for name in ("bert.embeddings.word_embeddings.weight", "cls.predictions.bias"):
            tensors[name] = tensors[name][:250]

    change_tensors(directory, cut)
    change_config(directory, vocab_size=250)
    with pytest.raises(ValueError, match="300 tokens and vocab_size=250"):
        load(directory)


def test_sizes_that_need_more_numbers_than_the_file_has_take_no_memory(directory):
    change_config(directory, intermediate_size=10**12)
    with pytest.raises(ValueError, match=r"intermediate\.dense\.weight of shape \(12, 8\), not"):
        load(directory)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden_act", "quick_gelu"),
        ("hidden_act", None),
        ("position_embedding_type", "relative_key"),
        ("is_decoder", True),
        ("add_cross_attention", True),
        ("tie_word_embeddings", False),
        ("pruned_heads", {"1": [0]}),
        ("quantization_config", {"bits": 8}),
        ("auto_map", {"AutoModel": "code.Model"}),
        ("model_type", "t5"),
        ("model_type", "GONE"),
        ("architectures", ["BertForMultipleChoice"]),
        ("hidden_size", "8"),
        ("num_attention_heads", 0),
        ("num_hidden_layers", -1),
        ("layer_norm_eps", True),
        ("hidden_dropout_prob", "none"),
    ],
)
def test_fields_that_ask_for_another_computation_are_refused_by_name(directory, field, value):
    change_config(directory, **{field: value})
    with pytest.raises(ValueError, match=rf"{field} must .*config\.json with {field}="):
        load(directory)


def test_fields_that_change_the_computation_are_honoured(directory):
    change_config(
        directory,
        hidden_act="relu",
        layer_norm_eps=0.5,
        hidden_dropout_prob=0.2,
        attention_probs_dropout_prob=0.3,
    )
    arguments = load(directory).constructor_arguments
    assert arguments["activation"] == "relu"
    assert arguments["layer_norm_epsilon"] == 0.5
    assert arguments["dropout_rate"] == 0.2
    assert arguments["attention_dropout_rate"] == 0.3


def test_fields_that_nobody_knows_are_named_in_one_warning(directory):
    change_config(directory, alibi_bias=True, new_idea=3, off=None, use_cache=True)
    with pytest.warns(UserWarning, match=r"not known here.*: alibi_bias, new_idea$"):
        load(directory)


def test_one_rate_of_dropout_of_two_is_named(tmp_path):
    save(GPT(20, 8, 1, 2, 12, max_length=16), tmp_path)
    change_config(tmp_path, embd_pdrop=0.5)
    with pytest.warns(UserWarning, match=r"embd_pdrop=0\.5 and resid_pdrop=0\.1"):
        load(tmp_path)


@pytest.mark.parametrize("field", ["scale_attn_by_inverse_layer_idx", "add_cross_attention"])
def test_gpt2s_that_compute_something_else_are_refused(tmp_path, field):
    save(GPT(20, 8, 1, 2, 12, max_length=16), tmp_path)
    change_config(tmp_path, **{field: True})
    with pytest.raises(ValueError, match=rf"{field} must be False"):
        load(tmp_path)


def test_masks_that_early_files_of_gpt2_hold_are_known(tmp_path):
    model = GPT(20, 8, 1, 2, 12, max_length=16)
    save(model, tmp_path)

    def as_of_old(tensors):
        for name in list(tensors):  # Without the prefix, as OpenAI's were converted.
            tensors[name.removeprefix("transformer.")] = tensors.pop(name)
        tensors["h.0.attn.bias"] = np.tril(np.ones((1, 1, 16, 16), "uint8"))
        tensors["h.0.attn.masked_bias"] = np.array(-1e4, "float32")

    change_tensors(tmp_path, as_of_old)
    assert same_weights(load(tmp_path), model)


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
        if path.name not in ("config.json", "model.safetensors"):
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
    narrow = GPT(20, 8, 1, 2, 12, 4, max_length=16)
    save(narrow, tmp_path)
    assert same_weights(load(tmp_path), narrow)


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


def test_a_model_is_loaded_into_the_replicas_of_a_strategy(written, replicas):
    with replicas.scope():
        model = load(written[1])
    assert same_weights(model, written[0])
    for copy in replicas.experimental_local_results(model.weights[0].value):
        np.testing.assert_array_equal(copy, written[0].weights[0])


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


def test_a_truncated_file_of_either_format_gives_no_model(directory):
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"whole and true.*model\.safetensors"):
        load(directory)
    path.unlink()
    with h5py.File(directory / "tf_model.h5", "w") as file:
        file["x"] = np.ones(1000)
    (directory / "tf_model.h5").write_bytes((directory / "tf_model.h5").read_bytes()[:900])
    with pytest.raises(ValueError, match=r"must be whole.*tf_model\.h5"):
        load(directory)
