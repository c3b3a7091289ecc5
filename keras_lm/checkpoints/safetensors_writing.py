"""Writes safetensors files piece by piece: never more than a piece of a tensor is held in memory.

The `safetensors` package wants all tensors of a file at once, which for a model means a second
copy of it.
"""

import json
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from keras_lm.checkpoints.replacing import Writer, holding
from keras_lm.checkpoints.safetensors_files import DTYPES, INDEX

SINGLE = "model.safetensors"
_NAME_OF = {dtype: name for name, dtype in DTYPES.items()}
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
# Transformers opens only files that say for which library they were laid out.
_METADATA = {"format": "pt"}


class TensorToWrite(NamedTuple):
    """A tensor and how to get at its values.

    Attributes:
        name: in the file.
        shape: its dimensions.
        dtype: its NumPy dtype.
        pieces: gives its values in order, in arrays that are contiguous and of any size.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    pieces: Callable[[], Iterable[np.ndarray]]

    @property
    def num_bytes(self) -> int:
        """The size in the file."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def write_safetensors(path: pathlib.Path, tensors: Sequence[TensorToWrite]) -> None:
    """Writes one file.

    Args:
        path: of the file.
        tensors: what it holds; those with the widest numbers come first in the file, so that each
            lies at a multiple of its own width.

    Raises:
        ValueError: a dtype that the format does not have, or two tensors of one name.
    """
    ordered = sorted(tensors, key=lambda tensor: -tensor.dtype.itemsize)
    header: dict[str, object] = {"__metadata__": _METADATA}
    place = 0
    for tensor in ordered:
        if tensor.dtype not in _NAME_OF or tensor.name in header:
            raise ValueError(
                f"Tensors need different names and one of the dtypes {', '.join(DTYPES)}. "
                f"Received: {tensor.name} of {tensor.dtype}"
            )
        header[tensor.name] = {
            "dtype": _NAME_OF[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [place, place + tensor.num_bytes],
        }
        place += tensor.num_bytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for tensor in ordered:
            written = 0
            for piece in tensor.pieces():
                file.write(np.ascontiguousarray(piece).view(np.uint8).reshape(-1).data)
                written += piece.nbytes
            if written != tensor.num_bytes:
                raise ValueError(
                    f"The pieces of {tensor.name} must have {tensor.num_bytes} bytes. "
                    f"Received: {written}"
                )


def weight_files(
    tensors: Sequence[TensorToWrite], max_shard_size: int | str
) -> Iterator[tuple[str, Writer]]:
    """Divides tensors into files.

    Args:
        tensors: of the model.
        max_shard_size: bytes of tensors in a file, a number or a text such as "5GB"; a tensor that
            is larger gets a file of its own.

    Returns:
        Names of files, each with a function that writes it to a path: `model.safetensors`, or
        several and their index.

    Raises:
        ValueError: `max_shard_size` is no size.
    """
    shards: list[list[TensorToWrite]] = [[]]
    limit, used = size_in_bytes(max_shard_size), 0
    for tensor in tensors:
        if shards[-1] and used + tensor.num_bytes > limit:
            shards.append([])
            used = 0
        shards[-1].append(tensor)
        used += tensor.num_bytes
    if len(shards) == 1:
        yield SINGLE, lambda path: write_safetensors(path, tensors)
        return
    file_of = {}
    for i, shard in enumerate(shards):
        name = f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
        file_of.update(dict.fromkeys((tensor.name for tensor in shard), name))
        yield name, lambda path, shard=shard: write_safetensors(path, shard)  # type: ignore[misc]
    total = sum(tensor.num_bytes for tensor in tensors)
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(file_of.items()))}
    yield INDEX, holding(json.dumps(index, indent=2) + "\n")


def is_weight_file(name: str) -> bool:
    """Says whether a file name is one of those that `weight_files` gives."""
    shard = re.fullmatch(r"model-\d{5,}-of-\d{5,}\.safetensors", name)
    return name in (SINGLE, INDEX) or shard is not None


def size_in_bytes(size: int | str) -> int:
    """Reads a size such as 5000000, "5MB" or "2 GiB".

    Raises:
        ValueError: it is none, or not positive.
    """
    matched = (
        re.fullmatch(r"(\d+(?:\.\d+)?) *([A-Z]+)", size.upper()) if isinstance(size, str) else None
    )
    number = size if isinstance(size, int) else -1
    if matched and matched[2] in _UNITS:
        number = int(float(matched[1]) * _UNITS[matched[2]])
    if number < 1:
        raise ValueError(
            f'A size is a number of bytes or a text such as "5GB" or "200MB". Received: {size!r}'
        )
    return number
