"""Exports answer in the TensorFlow releases whose runtimes TensorFlow Serving links."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
from ask_in_a_process import BEAMS, REQUESTS, TASK_REQUESTS, ask_in_another_process

from keras_lm import export

# Environments are kept between runs; the package index is asked for each version once.
CACHE = pathlib.Path(__file__).parents[2] / ".cache"
HALVES = ("gpt", "classifier")
PLAIN = {"extra_files": False}


def environment(version):
    """A Python with that TensorFlow and nothing of ours."""
    home = CACHE / f"tensorflow-{version}"
    python = home / "bin" / "python"
    if not (home / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        packages = [f"tensorflow-cpu=={version}"]
        if version.startswith("2.12"):
            # It says numpy<1.24 and means no upper bound for what came later; setuptools had
            # pkg_resources then.
            packages += ["setuptools<80"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        (home / "installed").touch()
    return python


@pytest.fixture(scope="module")
def asked(exports, task_exports):
    """What is asked where, and the answers here."""
    return [
        (directory, requests, ask_in_another_process(directory, requests)["answers"])
        for directory, requests in ((exports, REQUESTS), (task_exports, TASK_REQUESTS))
    ]


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize("version", ["2.12.1", "2.19.1", "2.20.0"])
def test_exports_answer_alike_in_an_old_tensorflow(asked, version):
    for directory, requests, here in asked:
        found = ask_in_another_process(directory, requests, environment(version))
        assert found["version"] == version
        for answer, expected in zip(found["answers"], here, strict=True):
            assert answer.keys() == expected.keys()
            for name in expected:
                if np.array(expected[name]).dtype.kind == "f":
                    np.testing.assert_allclose(answer[name], expected[name], rtol=1e-4, atol=1e-6)
                else:
                    assert answer[name] == expected[name], name


@pytest.mark.slow
@pytest.mark.network
def test_half_precision_answers_in_an_old_tensorflow(gpt, classifier, tmp_path):
    export(gpt, tmp_path / "gpt", dtype="bfloat16", num_beams=BEAMS, max_new_tokens=8, **PLAIN)
    export(classifier, tmp_path / "classifier", dtype="bfloat16", **PLAIN)
    requests = [request for request in (*REQUESTS, *TASK_REQUESTS) if request[0] in HALVES]
    here = ask_in_another_process(tmp_path, requests)["answers"]
    found = ask_in_another_process(tmp_path, requests, environment("2.12.1"))["answers"]
    compared = 0
    for (model, signature, *_), answer, expected in zip(requests, found, here, strict=True):
        assert answer.keys() == expected.keys()
        # Releases round differently, and a likeliest token may be another one for it.
        if model == "classifier" or signature == "score":
            for name in ("scores", "log_likelihood"):
                if name in expected:
                    np.testing.assert_allclose(answer[name], expected[name], rtol=0.03, atol=0.01)
                    compared += 1
    assert compared >= 2
