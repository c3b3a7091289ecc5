"""`keras-lm pretrain`: what a recipe says is done, once, and goes on where it was."""

import csv
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("pydantic")
pytest.importorskip("ruamel.yaml")

from recipe_toys import CONFIGS, write

import keras_lm
from keras_lm.cli.main import main
from keras_lm.cli.recipes.reading import read_recipe
from keras_lm.training import LAMB, AdamW, Monitor

ROOT = CONFIGS.parents[1]


def steps(directory):
    with (directory / "steps.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def pretrain(path, *words):
    return main(["pretrain", "--config", str(path), "--verbose", "0", *words])


@pytest.fixture(scope="module")
def done(tmp_path_factory, corpus):
    """A training that ran through: its recipe's path and its directory."""
    place = tmp_path_factory.mktemp("done")
    path = write(place, corpus)
    assert pretrain(path, f"data.validation_files={corpus}") == 0
    return path, place / "run"


def test_a_recipe_leaves_a_model_its_tokenizer_its_logs_and_itself(done, capsys):
    path, directory = done
    names = {entry.name for entry in directory.iterdir()}
    logs = {name for name in names if name.startswith("events.out.tfevents")}
    expected = {"config.yaml", "tokenizer", "checkpoints", "steps.csv", "epochs.csv"}
    assert names - logs == {*expected, "model.keras"}
    assert len(logs) == 1
    rows = steps(directory)
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert {row["tokens"] for row in rows} == {"32"}
    model = keras_lm.load(directory / "model.keras")
    assert model.vocab_size == model.tokenizer.vocab_size == 300
    again = keras_lm.tokenizers.load(directory / "tokenizer")
    assert again.encode("The assert statement") == model.tokenizer.encode("The assert statement")
    kept = read_recipe(directory / "config.yaml")
    assert kept.optimizer.beta_2 == 0.999  # a default
    assert kept.model_dump(exclude={"data"}) == read_recipe(path).model_dump(exclude={"data"})


def test_another_recipe_is_refused_by_the_keys_that_differ(done, capsys):
    path, directory = done
    before = (directory / "config.yaml").read_text()
    words = ["optimizer.learning_rate=0.5", "model.window=4", "monitoring.every=2"]
    assert pretrain(path, *words, f"data.validation_files={path.parent / 'other.txt'}") == 2
    (path.parent / "other.txt").write_text("Another text.\n")
    capsys.readouterr()
    assert pretrain(path, *words) == 2
    _, *lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0].strip() for line in lines] == [
        "model.window",
        "data.validation_files",
        "optimizer.learning_rate",
    ]
    assert "optimizer.learning_rate: 0.01 there, 0.5 here" in lines[2]
    assert (directory / "config.yaml").read_text() == before


def test_a_training_that_was_killed_goes_on_to_the_same_weights(
    done, tmp_path, corpus, monkeypatch
):
    path = write(tmp_path, corpus)
    words = ["checkpoints.every_steps=2", f"data.validation_files={corpus}"]
    told = Monitor.on_train_batch_end

    def kill(self, batch, logs=None):
        told(self, batch, logs)
        if self.model.steps_made() == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Monitor, "on_train_batch_end", kill)
        with pytest.raises(KeyboardInterrupt):
            pretrain(path, *words)
    assert not (tmp_path / "run" / "model.keras").exists()
    assert pretrain(path, *words, "checkpoints.keep=1") == 0  # what changes no number may change
    ours, whole = (keras_lm.load(d / "model.keras") for d in (tmp_path / "run", done[1]))
    for one, other in zip(ours.weights, whole.weights, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)
    for one, other in zip(steps(tmp_path / "run"), steps(done[1]), strict=True):
        assert {**one, "seconds": 0, "tokens_per_second": 0} == {
            **other,
            "seconds": 0,
            "tokens_per_second": 0,
        }


def test_check_prints_the_whole_recipe_and_trains_nothing(tmp_path, corpus, capsys):
    path = write(tmp_path, corpus)
    assert pretrain(path, "--check", "model.vocab_size=300") == 0
    printed = capsys.readouterr().out
    assert "\n  beta_2: 0.999\n" in printed
    assert printed.splitlines()[-1] == "# 3,144 parameters"
    again = tmp_path / "again.yaml"
    again.write_text(printed)
    assert read_recipe(again).model.vocab_size == 300
    for words in (["--check"], []):
        assert pretrain(path, *words, "model.hidden_size=9") == 2
        assert "a multiple" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_files_that_are_not_there_are_all_told(tmp_path, capsys):
    path = write(tmp_path, tmp_path / "*.txt", training={"initial_weights": "no.keras"})
    for words in ([], ["--check"]):
        assert pretrain(path, *words, "tokenizer={path: nowhere}") == 2
        assert capsys.readouterr().err.splitlines() == [
            "keras-lm: The recipe's files are not all there:",
            f"  data.files must be there. Received: '{tmp_path}/*.txt'",
            "  tokenizer.path must be there. Received: 'nowhere'",
            "  training.initial_weights must be there. Received: 'no.keras'",
        ]
    assert not (tmp_path / "run").exists()


def test_the_optimizer_is_the_one_that_was_asked_for(done, tmp_path, corpus, monkeypatch):
    path = write(tmp_path, corpus, training={"steps": 1, "steps_per_epoch": None})
    made = []
    monkeypatch.setattr(keras_lm.GPT, "fit", lambda model, *_, **__: made.append(model.optimizer))
    words = [f"tokenizer={{path: {done[1] / 'tokenizer'}}}"]
    assert pretrain(path, *words, "optimizer.name=lamb", "optimizer.weight_decay=0.1") == 0
    directory = f"directory={tmp_path / 'other'}"
    assert pretrain(path, *words, directory, "optimizer.layer_decay=0.5") == 0
    assert [type(optimizer) for optimizer in made] == [LAMB, AdamW]
    assert (made[0].weight_decay, made[1].layer_decay) == (0.1, 0.5)


def test_weights_to_begin_with_are_those_of_a_model_of_these_sizes(done, tmp_path, corpus, capsys):
    begin = f"training.initial_weights={done[1] / 'model.keras'}"
    path = write(tmp_path, corpus, optimizer={"learning_rate": 1e-30, "weight_decay": 0.0})
    assert pretrain(path, begin, f"tokenizer={{path: {done[1] / 'tokenizer'}}}") == 0
    ours, there = (keras_lm.load(d / "model.keras") for d in (tmp_path / "run", done[1]))
    for one, other in zip(ours.weights, there.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    capsys.readouterr()
    assert pretrain(path, begin, "model.hidden_size=12", f"directory={tmp_path / 'new'}") == 2
    assert "initial_weights must be of a model of the same sizes" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "roberta", "electra", "gpt2", "gpt3"])
def test_small_recipes_learn(tmp_path, name):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = [sys.executable, ROOT / "examples" / "python_reference.py", "--out", tmp_path]
    subprocess.run(run, check=True, env=environment)
    words = [f"data.files={tmp_path}/train.txt", f"data.validation_files={tmp_path}/held_out.txt"]
    command = [sys.executable, "-m", "keras_lm", "pretrain", "--verbose", "2", "--config"]
    command += [CONFIGS / f"small_{name}.yaml", f"directory={tmp_path / 'run'}", *words]
    subprocess.run(command, check=True, env=environment)
    with (tmp_path / "run" / "epochs.csv").open(newline="") as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file)]
    assert losses == sorted(losses, reverse=True)
    first = float(steps(tmp_path / "run")[0]["loss"])
    assert losses[-1] < (0.9 if name == "electra" else 0.85) * first
