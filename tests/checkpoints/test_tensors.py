"""Which tensors of a file become which weights, in which dtype; and which are refused."""

import json

import h5py
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from directory_changes import change_tensors, same_weights

from keras_lm.checkpoints import load, save


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
    assert load(directory).built  # and without a warning, which would be an error


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


def test_a_model_is_loaded_into_the_replicas_of_a_strategy(written, replicas):
    with replicas.scope():
        model = load(written[1])
    assert same_weights(model, written[0])
    for copy in replicas.experimental_local_results(model.weights[0].value):
        np.testing.assert_array_equal(copy, written[0].weights[0])


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
