"""Reads safetensors files by mapping them: one file, or several behind an index.

The header is checked in full before anything else, so that a file that is cut short or lies about
its sizes gives one error with its name and the tensor's.

Format: https://github.com/huggingface/safetensors, "Format": 8 bytes that are the header's size,
a JSON header, and the tensors' bytes side by side without gaps.
"""

import itertools
import json
import math
import pathlib
from collections.abc import Iterable
from typing import Any, NoReturn

import ml_dtypes
import numpy as np

from keras_lm.checkpoints.tensors import TensorFile, TensorInfo

INDEX = "model.safetensors.index.json"
# The limit of the reference implementation.
_LARGEST_HEADER = 100_000_000
_LENGTH_BYTES = 8

DTYPES = {
    "BOOL": np.dtype("bool"),
    "U8": np.dtype("uint8"),
    "I8": np.dtype("int8"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
}


class SafetensorsFile(TensorFile):
    """One file.

    Args:
        path: of the file.

    Raises:
        ValueError: it is no safetensors file, is cut short, or its header contradicts itself or the
            file's size.
    """

    def __init__(self, path: pathlib.Path) -> None:
        header, start, size = _read_header(path)
        self.infos, self._places = {}, {}
        for name, entry in header.items():
            if name != "__metadata__":
                info, place = _entry(path, name, entry, size - start)
                self.infos[name], self._places[name] = info, place
        _check_places(path, self._places, size - start)
        self._data = np.memmap(path, np.uint8, "r", start) if size > start else np.zeros(0, "uint8")

    def read(self, name: str) -> np.ndarray:
        """Gives a view of the mapped file."""
        info, (first, last) = self.infos[name], self._places[name]
        return np.asarray(self._data)[first:last].view(info.dtype).reshape(info.shape)

    def close(self) -> None:
        """Lets go of the map, once no array shows it any more."""
        del self._data


class ShardedSafetensors(TensorFile):
    """The files that an index names.

    Args:
        path: of the index, `model.safetensors.index.json`.

    Raises:
        FileNotFoundError: a file that the index names does not exist.
        ValueError: the index is none, names a file outside its directory, or differs from what its
            files hold; or a file as of `SafetensorsFile`.
    """

    def __init__(self, path: pathlib.Path) -> None:
        file_of = read_index(path)
        shards = {}
        for file in dict.fromkeys(file_of.values()):
            if not (path.parent / file).is_file():
                missing = next(name for name in file_of if file_of[name] == file)
                raise FileNotFoundError(
                    f"Every file that {path} names must exist. Received: no {file}, which should "
                    f"hold {missing}"
                )
            shards[file] = SafetensorsFile(path.parent / file)
        self._shard_of, self.infos = {}, {}
        for name, file in file_of.items():
            if name not in shards[file].infos:
                _refuse(path, f"says that {file} holds {name}, but it does not")
            self._shard_of[name] = shards[file]
            self.infos[name] = shards[file].infos[name]
        for file, shard in shards.items():
            for name in shard.infos:
                if file_of.get(name) != file:
                    _refuse(path, f"does not say that {file} holds {name}, but it does")

    def read(self, name: str) -> np.ndarray:
        """Gives a view of the mapped file."""
        return self._shard_of[name].read(name)

    def close(self) -> None:
        """Lets go of every map."""
        for shard in set(self._shard_of.values()):
            shard.close()


def _refuse(path: pathlib.Path, what: str) -> NoReturn:
    raise ValueError(
        f"Model files must be whole and true to their headers. Received: {path} {what}"
    )


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"names {name} twice")
        found[name] = value
    return found


def _parse(path: pathlib.Path, text: bytes, what: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        _refuse(path, f"whose {what} can't be read: {error}")
    if not isinstance(parsed, dict):
        _refuse(path, f"whose {what} is no JSON object")
    return parsed


def _read_header(path: pathlib.Path) -> tuple[dict[str, Any], int, int]:
    """Gives the header, where the tensors start, and the size of the file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(_LENGTH_BYTES)
        if len(first) < _LENGTH_BYTES:
            _refuse(path, f"of {size} bytes, which is no safetensors file")
        if first == b"version ":
            _refuse(path, "which is a Git LFS pointer; get the file itself with `git lfs pull`")
        length = int.from_bytes(first, "little")
        if length > _LARGEST_HEADER:
            _refuse(path, f"whose header would have {length} bytes, more than {_LARGEST_HEADER}")
        if _LENGTH_BYTES + length > size:
            _refuse(path, f"of {size} bytes, whose header would have {length}")
        header = _parse(path, file.read(length), "header")
    return header, _LENGTH_BYTES + length, size


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _entry(
    path: pathlib.Path, name: str, entry: Any, room: int
) -> tuple[TensorInfo, tuple[int, int]]:
    """Checks what the header says of one tensor."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        _refuse(path, f"whose header has no dtype, shape and data_offsets alone for {name}")
    dtype, shape, place = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        _refuse(path, f"with {name} of dtype {dtype!r:.40}; known are {', '.join(DTYPES)}")
    if not isinstance(shape, list) or not all(map(_is_size, shape)):
        _refuse(path, f"with {name} of shape {shape!r:.80}")
    if not isinstance(place, list) or len(place) != 2 or not all(map(_is_size, place)):
        _refuse(path, f"with {name} at the offsets {place!r:.80}")
    first, last = place
    if not first <= last <= room:
        _refuse(path, f"with {name} at the bytes {first} to {last} of {room}")
    needed = math.prod(shape) * DTYPES[dtype].itemsize
    if last - first != needed:
        _refuse(
            path, f"with {name}, {dtype} of shape {shape}, in {last - first} bytes, not {needed}"
        )
    return TensorInfo(tuple(shape), DTYPES[dtype], path), (first, last)


def _check_places(path: pathlib.Path, places: dict[str, tuple[int, int]], room: int) -> None:
    """Refuses overlaps and gaps: each byte belongs to one tensor, as the format wants it."""
    ordered = sorted(places, key=places.__getitem__)
    ends = [0, *(places[name][1] for name in ordered)]
    for name, end in zip(ordered, ends, strict=False):
        if places[name][0] < end:
            _refuse(path, f"with {name} at byte {places[name][0]}, inside another tensor")
        if places[name][0] > end:
            _refuse(path, f"with a gap of {places[name][0] - end} bytes before {name}")
    if ends[-1] != room:
        _refuse(path, f"with {room - ends[-1]} bytes behind its last tensor")


def read_index(path: pathlib.Path) -> dict[str, str]:
    """Reads an index: the file of each tensor.

    Raises:
        ValueError: it is none, or names something else than files beside it.
    """
    file_of = _parse(path, path.read_bytes(), "index").get("weight_map")
    if not isinstance(file_of, dict) or not file_of:
        _refuse(path, "without a weight_map")
    for name, file in file_of.items():
        # A name alone: nothing outside of the directory is ever opened.
        if not isinstance(file, str) or not _is_plain_name(file):
            _refuse(path, f"that places {name} into {file!r:.200}; a file beside it is wanted")
    return file_of


def _is_plain_name(file: str) -> bool:
    odd = itertools.chain("/\\:\0", (chr(code) for code in range(32)))
    return file not in ("", ".", "..") and not any(character in file for character in odd)
