"""Adapters in PEFT's format, written and read; what can't be read raises and changes nothing."""

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import keras_lm
from keras_lm import BERT, GPT, RoBERTa, TextClassifier, Transformer
from keras_lm.checkpoints import load, save
from keras_lm.checkpoints.lora import ADAPTER_CONFIG, ADAPTER_WEIGHTS, load_lora

SIZES = {
    "hidden_size": 8,
    "num_layers": 2,
    "num_attention_heads": 2,
    "num_hidden_units": 12,
    "max_length": 16,
    "initializer_range": 0.3,
}
IDS = np.random.default_rng(0).integers(0, 30, (4, 7)).astype("int32")


def shaken(model):
    random = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(random.normal(0, 0.3, weight.shape))
    return model


def config_in(directory):
    return json.loads((directory / ADAPTER_CONFIG).read_text())


def test_adapters_come_back_on_the_model_that_they_name(tmp_path):
    save(BERT(30, **SIZES), tmp_path / "base")  # The head is left behind, of which nothing warns.
    model = TextClassifier(load(tmp_path / "base"), ["no", "yes", "so"])
    model.add_lora(3, alpha=6)
    shaken(model)
    save(model, tmp_path / "adapters")
    names = {path.name for path in (tmp_path / "adapters").iterdir()}
    assert {ADAPTER_CONFIG, ADAPTER_WEIGHTS, "config.json"} <= names
    assert "model.safetensors" not in names
    said = config_in(tmp_path / "adapters")
    assert said["base_model_name_or_path"] == str((tmp_path / "base").resolve())
    assert (said["r"], said["lora_alpha"], said["task_type"]) == (3, 6, "SEQ_CLS")
    assert said["target_modules"] == ["query", "value"]
    assert set(said["modules_to_save"]) == {"classifier", "pooler"}
    with safe_open(tmp_path / "adapters" / ADAPTER_WEIGHTS, "numpy") as file:
        key = "base_model.model.bert.encoder.layer.1.attention.self.value.lora_B.weight"
        assert file.get_tensor(key).shape == (8, 3)
        assert "base_model.model.classifier.weight" in file.keys()  # noqa: SIM118

    again = load(tmp_path / "adapters")
    assert again.labels == ("no", "yes", "so")
    assert again.has_lora
    np.testing.assert_array_equal(again(IDS), model(IDS))
    save(again, tmp_path / "whole", lora="merged")
    np.testing.assert_allclose(load(tmp_path / "whole")(IDS), model(IDS), atol=2e-5)
    for directory, options in (("base", {}), ("adapters", {"lora": "merged"})):
        with pytest.raises(ValueError, match="Adapters need a directory of their own"):
            save(model, tmp_path / directory, **options)


@pytest.mark.parametrize(
    ("make", "targets", "said"),
    [
        (lambda: GPT(30, **SIZES), ("query", "value"), {"r": 4, "target_modules": ["c_attn"]}),
        (lambda: GPT(30, **SIZES), ("query_key_value", "attention_output"), {"r": 2}),
        (lambda: BERT(30, **SIZES), ("query_key_value",), {"r": 2, "target_modules": [*"kqv"]}),
        (lambda: RoBERTa(30, **SIZES), ("feed_forward_out",), {"r": 2}),
        (
            lambda: Transformer(30, **SIZES, decoder_start_ids=[2], position_kind="learned"),
            ("query", "value"),
            {"target_modules": ["q_proj", "v_proj"]},
        ),
    ],
)
def test_every_target_of_every_family_comes_back(make, targets, said, tmp_path):
    model = make()
    model.build()
    inputs = {"token_ids": IDS}
    if isinstance(model, Transformer):
        inputs["decoder_token_ids"] = IDS
    save(model, tmp_path / "base")
    model.add_lora(2, alpha=3, targets=targets)
    shaken(model)
    save(model, tmp_path / "adapters")
    found = config_in(tmp_path / "adapters")
    if said.get("target_modules") == [*"kqv"]:
        said = {**said, "target_modules": ["key", "query", "value"]}
    assert {name: found[name] for name in said} == said
    assert found["fan_in_fan_out"] == isinstance(model, GPT)
    if targets == ("feed_forward_out",):  # "dense" would mean others, too.
        assert "roberta.encoder.layer.0.output.dense" in found["target_modules"]
    again = load(tmp_path / "adapters")
    np.testing.assert_allclose(again(inputs), model(inputs), atol=1e-5)


def test_peft_alone_says_how_many_classes_there_are(tmp_path):
    save(GPT(30, **SIZES), tmp_path / "base")
    model = TextClassifier(load(tmp_path / "base", "backbone"), 3)
    model.add_lora(2)
    shaken(model)
    save(model, tmp_path / "adapters")
    (tmp_path / "adapters" / "config.json").unlink()
    again = load(tmp_path / "adapters")
    assert again.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    np.testing.assert_allclose(again(IDS), model(IDS), atol=1e-5)
    assert load(tmp_path / "adapters", labels=["a", "b", "c"]).labels == ("a", "b", "c")


def test_what_is_beneath_adapters_must_lie_where_they_say(adapters, tmp_path):
    base, trained = tmp_path / "base", tmp_path / "trained"
    save(BERT(30, **SIZES, heads=()), base)

    def learnt(model, by=1e-4):  # As a training does that `save` did not see.
        table = model.encoder.embedding.tokens.weights[0]
        table.assign(table.numpy() + by * (np.arange(30) == 7)[:, None])
        return model

    model = learnt(TextClassifier(load(base), 2))
    model.add_lora(2)
    with pytest.raises(ValueError, match=r"must lie there as they are.*/base, which has other val"):
        save(model, tmp_path / "adapters")
    assert not (tmp_path / "adapters").exists()
    headed = TextClassifier(load(base), 2)
    headed.add_lora(2, train_head=False)
    with pytest.raises(ValueError, match=r"other values of bert\.pooler"):
        save(headed, tmp_path / "adapters")
    save(model, tmp_path / "merged", lora="merged")

    model = learnt(TextClassifier(load(base), 2))
    save(model, trained)
    model.add_lora(2)
    shaken(model)
    save(model, tmp_path / "adapters")
    assert config_in(tmp_path / "adapters")["base_model_name_or_path"] == str(trained)
    np.testing.assert_array_equal(load(tmp_path / "adapters")(IDS), model(IDS))
    assert load(tmp_path / "adapters", dtype="bfloat16").has_lora  # Rounded, it is not known.
    for other in (TextClassifier(load(base), 2), learnt(load(trained))):
        with pytest.raises(ValueError, match="the model that they were trained on"):
            load_lora(other, tmp_path / "adapters")
    save(learnt(load(trained)), trained)
    with pytest.raises(ValueError, match="a TextClassifier with other weights"):
        load(tmp_path / "adapters")
    with pytest.raises(ValueError, match="load_lora"):
        load(adapters)  # Of a model that was made here, and never saved.


def test_adapters_of_a_rounded_model_fit_the_whole_one_and_a_copy_is_not_named(tmp_path):
    save(BERT(30, **SIZES), tmp_path / "base")
    model = load(tmp_path / "base", dtype="bfloat16")
    save(model, tmp_path / "copy")
    model.add_lora(2)
    shaken(model)
    save(model, tmp_path / "adapters")
    assert config_in(tmp_path / "adapters")["base_model_name_or_path"] == str(tmp_path / "base")
    assert load(tmp_path / "adapters").dtype == "float32"


def test_the_classes_of_adapters_may_be_others_than_those_beneath(tmp_path):
    save(TextClassifier(BERT(30, **SIZES, heads=()), ["a", "b", "c"]), tmp_path / "three")
    with pytest.warns(UserWarning, match="left out: classifier"):
        beneath = load(tmp_path / "three", "backbone")
    model = TextClassifier(beneath, ["no", "yes"])
    model.add_lora(2)
    shaken(model)
    save(model, tmp_path / "two")
    again = load(tmp_path / "two")  # Its own head is there, so that nothing is to be warned of.
    assert again.labels == ("no", "yes")
    np.testing.assert_array_equal(again(IDS), model(IDS))

    save(TextClassifier(BERT(30, **SIZES, heads=()), 2), tmp_path / "numbered")
    model = load(tmp_path / "numbered", labels=["no", "yes"])
    model.add_lora(2, train_head=False)
    shaken(model)
    save(model, tmp_path / "named")
    again = load(tmp_path / "named")  # The head beneath, by the names that the adapters say.
    assert again.labels == ("no", "yes")
    np.testing.assert_array_equal(again(IDS), model(IDS))


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    model = BERT(30, **SIZES)
    model.add_lora(2)
    return save(model, tmp_path_factory.mktemp("lora"))


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("peft_type", "IA3", "peft_type must be 'LORA'"),
        ("use_dora", True, "use_dora must be False"),
        ("bias", "all", "bias must be 'none'"),
        ("init_lora_weights", "pissa", "init_lora_weights must be"),
        ("lora_alpha", "a lot", "lora_alpha must be a finite number"),
    ],
)
def test_options_that_change_the_numbers_are_refused(field, value, rule, adapters, tmp_path):
    (tmp_path / ADAPTER_CONFIG).write_text(json.dumps({**config_in(adapters), field: value}))
    (tmp_path / ADAPTER_WEIGHTS).write_bytes((adapters / ADAPTER_WEIGHTS).read_bytes())
    model = BERT(30, **SIZES)
    with pytest.raises(ValueError, match=rule):
        load_lora(model, tmp_path)
    assert not model.has_lora


def test_scales_are_peft_s_own(adapters, tmp_path):
    said = {"use_rslora": True, "lora_alpha": 4, "alpha_pattern": {"layer.1.*.value": 8}}
    (tmp_path / ADAPTER_CONFIG).write_text(json.dumps({**config_in(adapters), **said}))
    (tmp_path / ADAPTER_WEIGHTS).write_bytes((adapters / ADAPTER_WEIGHTS).read_bytes())
    model = BERT(30, **SIZES)
    keras_lm.load_lora(model, tmp_path)
    scales = [u.scale for place in model.lora_places() for u in place.dense.updates]
    assert sorted({round(scale * 2**0.5, 5) for scale in scales}) == [4, 8]


def test_tensors_that_do_not_fit_are_named(adapters, tmp_path):
    tensors = load_file(adapters / ADAPTER_WEIGHTS)
    (tmp_path / ADAPTER_CONFIG).write_bytes((adapters / ADAPTER_CONFIG).read_bytes())
    first = next(name for name in tensors if name.endswith("lora_A.weight"))

    def refused(rule, **changed):
        save_file({**tensors, **changed}, tmp_path / ADAPTER_WEIGHTS)
        model = BERT(30, **SIZES)
        with pytest.raises(ValueError, match=rule):
            load_lora(model, tmp_path)
        assert not model.has_lora

    refused("Adapters must be of a BERT.*embed.lora_A", **{"embed.lora_A": tensors[first]})
    refused(r"has the shapes \(rank, 8\)", **{first: np.zeros((2, 9), "float32")})
    (tmp_path / ADAPTER_WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match=r"lie in adapter_model.safetensors"):
        load_lora(BERT(30, **SIZES), tmp_path)
    (tmp_path / "adapter_model.bin").touch()
    with pytest.raises(ValueError, match="pickle"):
        load_lora(BERT(30, **SIZES), tmp_path)
