import functools
import subprocess
import sys

import pytest

from keras_lm import GPT, checkpoints
from keras_lm.cli.main import main
from keras_lm.tokenizers import train_byte_bpe


@pytest.fixture(scope="module")
def saved(topics, tmp_path_factory):
    tokenizer = train_byte_bpe([topics], 400)
    model = GPT(tokenizer.vocab_size, 8, 1, 2, 16, max_length=32, tokenizer=tokenizer)
    model.build()
    path = tmp_path_factory.mktemp("models") / "gpt.keras"
    model.save(path)
    return path


@pytest.fixture(scope="module", autouse=True)
def read_once():
    """Commands and Python share a model that was read, and its graphs, which take long to trace."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "load", functools.cache(checkpoints.load))
        yield


def test_help_names_the_commands_without_importing_tensorflow():
    script = (
        "import sys, keras_lm.cli.main as m\n"
        "try:\n    m.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "export" in done.stdout
    assert "generate" in done.stdout


def test_generate_prints_what_python_gives(saved, capsys):
    path, model = saved, checkpoints.load(str(saved))
    words = ["generate", str(path), "The assert", "if x", "--max-new-tokens", "5", "--seed", "3"]
    assert main([*words, "--top-k", "9"]) == 0
    expected = model.generate(["The assert", "if x"], max_new_tokens=5, seed=3, top_k=9)
    assert capsys.readouterr().out == "\n--------\n".join(expected) + "\n"


@pytest.mark.slow
def test_generate_finds_beams_and_streams(saved, capsys):
    path, model = saved, checkpoints.load(str(saved))
    words = ["generate", str(path), "The assert", "--max-new-tokens", "5"]
    assert main([*words, "--num-beams", "2", "-n", "2", "--length-penalty", "0.5"]) == 0
    expected = model.generate(
        "The assert", max_new_tokens=5, num_beams=2, num_return_sequences=2, length_penalty=0.5
    )
    assert capsys.readouterr().out == "\n--------\n".join(expected) + "\n"
    drawn = ["--temperature", "1", "--seed", "3", "--repetition-penalty", "1.2"]
    assert main([*words, *drawn, "--stream"]) == 0
    whole = model.generate(
        "The assert", max_new_tokens=5, temperature=1, seed=3, repetition_penalty=1.2
    )
    assert capsys.readouterr().out == whole.removeprefix("The assert") + "\n"
    assert main(["generate", str(path), "The assert", "if x", "--stream"]) == 2
    assert "--stream takes one prompt" in capsys.readouterr().err


def test_export_prints_the_path_of_the_version(saved, tmp_path, capsys):
    words = ["export", str(saved), str(tmp_path / "gpt"), "--max-new-tokens", "3"]
    assert main([*words, "--num-beams", "2", "--no-extra-files"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "gpt" / "1")
    assert not (tmp_path / "gpt" / "1" / "assets.extra").exists()
    written = (tmp_path / "gpt" / "1" / "saved_model.pb").read_bytes()
    assert b"beam_search" in written


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing.keras", "does not exist"), ("text.keras", "load takes a .keras file")],
)
def test_bad_input_is_said_in_one_line(tmp_path, capsys, name, message):
    (tmp_path / "text.keras").write_text("no model")
    assert main(["generate", str(tmp_path / name), "x"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
