import numpy as np
import pytest
import tensorflow as tf

from keras_lm import BERT, export, save
from keras_lm.cli.main import main
from keras_lm.models import ELECTRAPretrainer
from keras_lm.serving.recasting import recast
from keras_lm.tokenizers import train_wordpiece
from keras_lm.training.provenance import Provenance

TEXTS = ["The assert statement.", "", "Füße 漢字 🎉", "x " * 300]
SHORT = TEXTS[:3]
PLAIN = {"extra_files": False}


def bytes_of(path):
    return sum(file.stat().st_size for file in (path / "variables").glob("*.data-*"))


def test_weights_in_half_precision_take_half_the_space_and_nearly_say_the_same(
    classifier, tmp_path
):
    before = [weight.numpy() for weight in classifier.weights]
    path = export(classifier, tmp_path / "half", dtype="bfloat16", **PLAIN)
    assert bytes_of(path) < 0.6 * sum(weight.nbytes for weight in before)
    for old, weight in zip(before, classifier.weights, strict=True):
        assert weight.dtype == "float32"
        np.testing.assert_array_equal(weight.numpy(), old)

    answers = tf.saved_model.load(str(path)).signatures["serving_default"](tf.constant(TEXTS))
    exact = classifier.predict(TEXTS, verbose=0)
    assert answers["scores"].dtype == tf.float32
    far = np.abs(answers["scores"].numpy() - exact.scores).max()
    assert 0.0 < far < 0.03  # rounded, but not much


@pytest.mark.slow
def test_verify_tells_what_rounding_costs(classifier, tmp_path, capsys):
    path = export(classifier, tmp_path / "half", dtype="bfloat16")
    save(classifier, tmp_path / "model")
    (tmp_path / "texts.txt").write_text("one text\nanother\n", "utf-8")
    words = ["verify", str(path), "--model", str(tmp_path / "model")]
    words += ["--texts", str(tmp_path / "texts.txt")]
    assert main([*words, "--tolerance", "1e-9"]) == 1
    assert main([*words, "--tolerance", "0.1"]) == 0
    assert main([*words, "--dtype", "bfloat16"]) == 0
    assert capsys.readouterr().out.endswith("0 differences\n")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.slow
def test_a_model_in_half_precision_writes_in_the_export_what_it_writes_in_python(
    gpt, transformer, dtype, tmp_path
):
    for model, name in ((gpt, "prompt"), (transformer, "text")):
        path = export(model, tmp_path / name, dtype=dtype, max_new_tokens=8, **PLAIN)
        loaded = tf.saved_model.load(str(path)).signatures
        half = recast(model, dtype)
        found = loaded["serving_default"](tf.constant(SHORT))
        answers = [
            answer.decode()
            for answer in found["completion" if name == "prompt" else "target"].numpy()
        ]
        starts = SHORT if name == "prompt" else [""] * len(SHORT)
        written = half.generate(SHORT, max_new_tokens=8)
        assert written == [start + answer for start, answer in zip(starts, answers, strict=True)]
        # The cache is in half precision too.
        caches = [
            spec for key, spec in loaded["prefill"].structured_outputs.items() if "cache" in key
        ]
        assert dtype in {spec.dtype.name for spec in caches}


def test_a_rounded_model_keeps_what_is_known_of_it_and_gets_its_adapters(topics):
    tokenizer = train_wordpiece([topics], 300)
    sizes = {"hidden_size": 8, "num_layers": 1, "num_attention_heads": 2, "num_hidden_units": 16}
    model = BERT(tokenizer.vocab_size, **sizes, max_length=16, tokenizer=tokenizer)
    with pytest.raises(ValueError, match="no weights before it is built"):
        recast(model, "bfloat16")
    model.build()
    model.provenance = Provenance(source="somewhere")
    model.add_lora(2)
    for weight in model.lora_weights:
        weight.assign(tf.ones_like(weight))
    half = recast(model, "bfloat16")
    assert half.provenance == model.provenance
    assert half.tokenizer is tokenizer
    assert not half.has_lora
    inputs = {"token_ids": np.arange(8)[None]}
    apart = np.abs(np.asarray(half(inputs), "float32") - np.asarray(model(inputs)))
    assert 0.0 < apart.max() < 0.1 * np.abs(np.asarray(model(inputs))).max()


def test_what_cannot_be_recast_is_said(bert, index, tmp_path):
    with pytest.raises(ValueError, match="dtype must be one of float32, bfloat16, float16"):
        export(bert, tmp_path / "bert", dtype="int3")
    with pytest.raises(
        ValueError, match=r"has that of its model\. Received: dtype='bfloat16', a S"
    ):
        export(index, tmp_path / "index", dtype="bfloat16")
    pair = ELECTRAPretrainer(30, 8, 1, 2, 16, max_length=16, embedding_size=8)
    pair.build()
    with pytest.raises(ValueError, match="is for training: export its discriminator"):
        export(pair, tmp_path / "pair", dtype="bfloat16")
    assert list(tmp_path.iterdir()) == []
    assert recast(bert, "float32") is bert
