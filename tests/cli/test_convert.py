import json

import numpy as np
import pytest

from keras_lm import GPT, load, save
from keras_lm.cli.main import main


def test_convert_writes_a_directory_that_transformers_reads(tmp_path, capsys):
    model = GPT(20, 8, 1, 2, 16, max_length=32)
    model.save(tmp_path / "gpt.keras")
    words = ["convert", str(tmp_path / "gpt.keras"), str(tmp_path / "gpt"), "--dtype", "float16"]
    assert main(words) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "gpt")
    config = json.loads((tmp_path / "gpt/config.json").read_text())
    assert (config["architectures"], config["torch_dtype"]) == (["GPT2LMHeadModel"], "float16")
    for found, exact in zip(load(tmp_path / "gpt").weights, model.weights, strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-3, atol=1e-6)


def test_convert_says_in_one_line_what_it_cannot_read(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["convert", str(tmp_path / "empty"), str(tmp_path / "new")]) == 2
    assert "must hold config.json" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_convert_makes_a_task_with_labels(tmp_path):
    GPT(20, 8, 1, 2, 16, max_length=32).save(tmp_path / "gpt.keras")
    save(load(tmp_path / "gpt.keras"), tmp_path / "gpt")
    words = ["convert", str(tmp_path / "gpt"), str(tmp_path / "task")]
    words += ["--task", "text_classification", "--labels", "negative,positive"]
    with pytest.warns(UserWarning, match="train"):
        assert main(words) == 0
    assert load(tmp_path / "task").labels == ("negative", "positive")


def test_convert_adds_adapters_to_the_model(tmp_path):
    save(GPT(20, 8, 1, 2, 16, max_length=32), tmp_path / "gpt")
    model = load(tmp_path / "gpt")
    model.add_lora(2)
    for weight in model.lora_weights:
        weight.assign(np.ones(weight.shape))
    save(model, tmp_path / "adapters")
    words = ["convert", str(tmp_path / "adapters"), str(tmp_path / "whole"), "--merge-lora"]
    assert main(words) == 0
    whole = load(tmp_path / "whole")
    assert not whole.has_lora
    np.testing.assert_allclose(whole(np.array([[1, 2]])), model(np.array([[1, 2]])), atol=1e-5)
