"""Directories that Transformers wrote, and what it computed; `make_golden.py` made them."""

import io
import pathlib
import zipfile

import numpy as np
import parity_checks
import pytest
import safetensors.numpy

from keras_lm.checkpoints import load, save

GOLDEN = pathlib.Path(__file__).parent / "golden"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.zip"))


@pytest.fixture(scope="module", params=NAMES)
def golden(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp(request.param)
    with zipfile.ZipFile(GOLDEN / f"{request.param}.zip") as pack:
        pack.extractall(directory)
    arrays = np.load(io.BytesIO((directory / "expected.npz").read_bytes()))
    inputs = {k.partition("/")[2]: arrays[k] for k in arrays if k.startswith("input/")}
    outputs = {k.partition("/")[2]: arrays[k] for k in arrays if k.startswith("output/")}
    return directory, load(directory), inputs, outputs


def test_there_are_golden_directories_of_both_formats():
    assert any(name.startswith("tf_") for name in NAMES)
    assert any(not name.startswith("tf_") for name in NAMES)


def test_a_loaded_model_has_the_numbers_of_transformers(golden):
    _, model, inputs, outputs = golden
    parity_checks.assert_same(model, inputs, outputs)


def test_a_model_that_is_saved_and_loaded_again_is_the_same_bit_for_bit(golden, tmp_path):
    directory, model, _, _ = golden
    save(model, tmp_path)
    again = load(tmp_path)
    assert again.heads == model.heads
    paths = [[v.path.partition("/")[2] for v in m.weights] for m in (again, model)]
    assert paths[0] == paths[1]
    for ours, theirs in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    if (directory / "model.safetensors").exists():
        before = safetensors.numpy.load_file(directory / "model.safetensors")
        after = safetensors.numpy.load_file(tmp_path / "model.safetensors")
        assert sorted(before) == sorted(after)
        for name, array in before.items():
            np.testing.assert_array_equal(array, after[name])
