import json

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from keras_lm.checkpoints.safetensors_files import INDEX, SafetensorsFile, ShardedSafetensors
from keras_lm.checkpoints.safetensors_writing import (
    TensorToWrite,
    is_weight_file,
    size_in_bytes,
    weight_files,
    write_safetensors,
)


def to_write(name, array, cuts=()):
    return TensorToWrite(name, array.shape, array.dtype, lambda: np.split(array, cuts))


ARRAYS = {
    "bytes": np.arange(5, dtype="uint8"),
    "half": np.arange(3).astype(ml_dtypes.bfloat16),
    "wide": np.arange(12, dtype="float32").reshape(4, 3),
}


def test_the_package_reads_what_was_written_in_pieces(tmp_path):
    tensors = [to_write(name, array, (1, 3)) for name, array in ARRAYS.items()]
    write_safetensors(tmp_path / "f", tensors)
    for name, found in safetensors.numpy.load_file(tmp_path / "f").items():
        np.testing.assert_array_equal(found, ARRAYS[name])
    with safetensors.safe_open(tmp_path / "f", "np") as file:
        assert file.metadata() == {"format": "pt"}
        assert set(file.keys()) == set(ARRAYS)


def test_each_tensor_lies_at_a_multiple_of_its_width(tmp_path):
    write_safetensors(tmp_path / "f", [to_write(*item) for item in ARRAYS.items()])
    file = SafetensorsFile(tmp_path / "f")
    assert all(file.read(name).flags.aligned for name in ARRAYS)


def test_pieces_that_do_not_add_up_are_refused(tmp_path):
    short = TensorToWrite("a", (3,), np.dtype("float32"), lambda: [np.zeros(2, "float32")])
    with pytest.raises(ValueError, match=r"pieces of a must have 12 bytes\. Received: 8"):
        write_safetensors(tmp_path / "f", [short])
    with pytest.raises(ValueError, match="a of complex64"):
        write_safetensors(tmp_path / "f", [to_write("a", np.zeros(2, "complex64"))])
    with pytest.raises(ValueError, match="different names"):
        write_safetensors(tmp_path / "f", 2 * [to_write("a", np.zeros(2))])


def test_files_stay_below_the_limit_unless_a_tensor_alone_is_larger(tmp_path):
    sizes = {"a": 3, "b": 2, "c": 9, "d": 1}
    arrays = {name: np.full(size, size, "float32") for name, size in sizes.items()}
    for name, write in weight_files([to_write(*item) for item in arrays.items()], 20):
        write(tmp_path / name)
    index = json.loads((tmp_path / INDEX).read_text())
    assert index["metadata"]["total_size"] == 4 * 15
    assert list(index["weight_map"].values()) == [
        f"model-0000{i}-of-00003.safetensors" for i in (1, 1, 2, 3)
    ]
    file = ShardedSafetensors(tmp_path / INDEX)
    for name, array in arrays.items():
        np.testing.assert_array_equal(file.read(name), array)
    assert all(is_weight_file(path.name) for path in tmp_path.iterdir())


def test_a_model_below_the_limit_is_one_file():
    found = list(weight_files([to_write("a", np.zeros(5, "float32"))], "20B"))
    assert [name for name, _ in found] == ["model.safetensors"]


def test_sizes_are_read_as_people_write_them():
    assert size_in_bytes("5GB") == 5 * 10**9
    assert size_in_bytes("1.5 MiB") == 1_572_864
    for wrong in ("5 apples", 0, -1, "0MB", None, 2.5, "GB"):
        with pytest.raises(ValueError, match="A size is"):
            size_in_bytes(wrong)
