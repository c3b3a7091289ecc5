import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_lm import BERT, load
from keras_lm.tokenizers import train_wordpiece


@pytest.fixture(scope="module")
def saved(topics, tmp_path_factory):
    tokenizer = train_wordpiece([topics], 400)
    model = BERT(tokenizer.vocab_size, 8, 1, 2, 16, max_length=32, tokenizer=tokenizer)
    model.build()
    path = tmp_path_factory.mktemp("models") / "bert.keras"
    model.save(path)
    return path, model


def test_a_file_gives_the_model_and_its_tokenizer_back(saved):
    path, model = saved
    again = load(path)
    assert again.tokenizer.tokens == model.tokenizer.tokens
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])
    assert again.fill_mask("The [MASK]", 3) == model.fill_mask("The [MASK]", 3)


def test_a_file_loads_in_a_fresh_process(saved):
    path, model = saved
    script = f"import keras_lm; print(keras_lm.load({str(path)!r}).fill_mask('The [MASK]', 1))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    token = model.fill_mask("The [MASK]", 1)[0][0][0]
    assert repr(token) in done.stdout


def test_what_is_no_model_of_ours_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load(tmp_path / "nothing.keras")
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(ValueError, match=r"takes a \.keras file"):
        load(tmp_path / "text.keras")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="with a Sequential"):
        load(tmp_path / "other.keras")
