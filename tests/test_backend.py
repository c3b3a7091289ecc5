import json
import os
import subprocess
import sys

import pytest


def import_keras_lm(home, code="import keras_lm", **variables):
    environment = {k: v for k, v in os.environ.items() if k not in ("KERAS_BACKEND", "KERAS_HOME")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "KERAS_HOME": str(home), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_importing_the_package_imports_neither_tensorflow_nor_keras(tmp_path):
    code = "import sys, keras_lm; assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    assert import_keras_lm(tmp_path, code).stderr == ""


@pytest.mark.parametrize("by_file", [False, True])
def test_another_backend_is_one_clear_error(tmp_path, by_file):
    if by_file:
        (tmp_path / "keras.json").write_text(json.dumps({"backend": "jax"}))
        done = import_keras_lm(tmp_path)
    else:
        done = import_keras_lm(tmp_path, KERAS_BACKEND="jax")
    last = done.stderr.splitlines()[-1]
    assert "TensorFlow backend of Keras alone" in last
    assert last.endswith("Received: 'jax'")


def test_the_variable_wins_over_the_file(tmp_path):
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "jax"}))
    assert import_keras_lm(tmp_path, KERAS_BACKEND="tensorflow").returncode == 0


def test_an_unknown_name_is_an_attribute_error():
    import keras_lm

    with pytest.raises(AttributeError, match="no attribute 'BART'"):
        _ = keras_lm.BART
    assert {"BERT", "GPT", "export", "load", "data"} <= set(dir(keras_lm))
