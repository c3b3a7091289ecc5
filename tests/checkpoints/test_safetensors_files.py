import json

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from keras_lm.checkpoints.safetensors_files import (
    DTYPES,
    INDEX,
    SafetensorsFile,
    ShardedSafetensors,
)


def file_of(tmp_path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(text) if length is None else length
    path = tmp_path / "model.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + text + data)
    return path


def tensor(shape=(2,), offsets=(0, 8), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_a_file_of_the_package_is_read_as_it_was_written(tmp_path):
    arrays = {
        "odd": np.arange(3, dtype="int8"),
        "matrix": np.arange(6, dtype="float32").reshape(2, 3),
        "scalar": np.array(2.5, "float64"),
        "empty": np.zeros((0, 4), "float16"),
        "brain": np.arange(4).astype(ml_dtypes.bfloat16),
    }
    safetensors.numpy.save_file(arrays, tmp_path / "model.safetensors", {"format": "pt"})
    with SafetensorsFile(tmp_path / "model.safetensors") as file:
        assert set(file.infos) == set(arrays)
        for name, array in arrays.items():
            assert (file.infos[name].shape, file.infos[name].dtype) == (array.shape, array.dtype)
            np.testing.assert_array_equal(file.read(name), array)


def test_every_dtype_has_the_width_that_its_name_says():
    for name, dtype in DTYPES.items():
        bits = "".join(c for c in name.split("_")[0] if c.isdigit())
        assert dtype.itemsize == max(1, int(bits or 8) // 8)


def test_a_tensor_is_a_view_of_the_mapped_file(tmp_path):
    safetensors.numpy.save_file({"a": np.ones(3, "float32")}, tmp_path / "model.safetensors")
    array = SafetensorsFile(tmp_path / "model.safetensors").read("a")
    assert not array.flags.owndata
    assert not array.flags.writeable


@pytest.mark.parametrize(
    ("header", "data", "what"),
    [
        ({"a": tensor((3,))}, b"8 bytes.", r"a, F32 of shape \[3\], in 8 bytes, not 12"),
        ({"a": tensor(offsets=(0, 16))}, b"8 bytes.", "a at the bytes 0 to 16 of 8"),
        ({"a": tensor(offsets=(8, 0))}, b"8 bytes.", "a at the bytes 8 to 0"),
        ({"a": tensor(offsets=(-8, 0))}, b"8 bytes.", "a at the offsets"),
        ({"a": tensor(offsets=(0, 8.0))}, b"8 bytes.", "a at the offsets"),
        ({"a": tensor((-2, -1))}, b"8 bytes.", "a of shape"),
        ({"a": tensor((True, 2))}, b"8 bytes.", "a of shape"),
        ({"a": tensor((2**40, 2**40))}, b"8 bytes.", "a, F32"),
        ({"a": tensor(dtype="F31")}, b"8 bytes.", "a of dtype 'F31'"),
        ({"a": tensor(dtype=["F32"])}, b"8 bytes.", "a of dtype"),
        ({"a": [1, 2]}, b"8 bytes.", "for a"),
        ({"a": tensor(), "b": tensor((1,), (4, 8))}, b"8 bytes.", "b at byte 4, inside another"),
        (
            {"a": tensor((1,), (0, 4)), "b": tensor((1,), (8, 12))},
            b"x" * 12,
            "gap of 4 .* before b",
        ),
        ({"a": tensor()}, b"more than 8", "3 bytes behind its last tensor"),
        (b'{"a": 1, "a": 2}', b"", "names a twice"),
        (b"[1]", b"", "no JSON object"),
        (b"{", b"", "can't be read"),
        (b"\xff\xfe", b"", "can't be read"),
        (b"[" * 100_000, b"", "can't be read"),
    ],
)
def test_a_header_that_lies_is_one_error_before_anything_is_read(tmp_path, header, data, what):
    with pytest.raises(ValueError, match=rf"model\.safetensors.*{what}"):
        SafetensorsFile(file_of(tmp_path, header, data))


def test_a_header_longer_than_the_file_or_the_limit_is_refused(tmp_path):
    with pytest.raises(ValueError, match="whose header would have 99"):
        SafetensorsFile(file_of(tmp_path, b"{}", length=99))
    with pytest.raises(ValueError, match="more than 100000000"):
        SafetensorsFile(file_of(tmp_path, b"{}", length=2**63))


@pytest.mark.parametrize("kept", [0, 5, 8, 20, 100, -1])
def test_a_truncated_file_is_refused(tmp_path, kept):
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file({"a": np.ones(30, "float32"), "b": np.ones(2, "float32")}, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"whole and true.*model\.safetensors"):
        SafetensorsFile(path)


def test_a_pointer_of_git_lfs_is_told_apart(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(ValueError, match="Git LFS pointer"):
        SafetensorsFile(path)


@pytest.fixture
def sharded(tmp_path):
    for name in "ab":
        array = np.full(2, ord(name), "float32")
        safetensors.numpy.save_file({name: array}, tmp_path / f"{name}.safetensors")
    write_index(tmp_path, {"a": "a.safetensors", "b": "b.safetensors"})
    return tmp_path


def write_index(directory, weight_map):
    (directory / INDEX).write_text(json.dumps({"weight_map": weight_map}))


def test_the_files_behind_an_index_are_one(sharded):
    with ShardedSafetensors(sharded / INDEX) as file:
        assert list(file.infos) == ["a", "b"]
        assert file.read("b").tolist() == [98, 98]
        assert file.infos["b"].file == sharded / "b.safetensors"


@pytest.mark.parametrize(
    "name",
    [
        "../b.safetensors",
        "/etc/passwd",
        "sub/b.safetensors",
        "..",
        "",
        "C:b",
        "a\\b",
        "b\0",
        3,
        None,
    ],
)
def test_an_index_names_files_beside_it_alone(sharded, name):
    write_index(sharded, {"a": "a.safetensors", "b": name})
    with pytest.raises(ValueError, match="places b into"):
        ShardedSafetensors(sharded / INDEX)


def test_a_missing_file_is_named_with_a_tensor_of_it(sharded):
    (sharded / "b.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"no b\.safetensors, which should hold b"):
        ShardedSafetensors(sharded / INDEX)


@pytest.mark.parametrize(
    ("weight_map", "what"),
    [
        (
            {"a": "a.safetensors", "b": "b.safetensors", "c": "b.safetensors"},
            "holds c, but it does",
        ),
        ({"a": "a.safetensors", "b": "a.safetensors"}, "holds b, but it does not"),
        ({"a": "a.safetensors"}, None),
        ({}, "without a weight_map"),
        (["a"], "without a weight_map"),
    ],
)
def test_an_index_and_its_files_must_agree(sharded, weight_map, what):
    write_index(sharded, weight_map)
    if what is None:  # Another file beside those of the index is nobody's business.
        assert list(ShardedSafetensors(sharded / INDEX).infos) == ["a"]
    else:
        with pytest.raises(ValueError, match=what):
            ShardedSafetensors(sharded / INDEX)


def test_a_tensor_that_the_index_leaves_out_is_named(sharded):
    two = {"a": np.ones(1, "float32"), "hidden": np.ones(1, "float32")}
    safetensors.numpy.save_file(two, sharded / "a.safetensors")
    with pytest.raises(ValueError, match=r"not say that a\.safetensors holds hidden"):
        ShardedSafetensors(sharded / INDEX)
