"""What every kind of model file offers: tensors by name, read one at a time.

Names and layouts are those of Transformers' PyTorch models, whatever the file: kernels of files of
TensorFlow are presented as `(out, in)` and `LayerNorm/gamma` as `LayerNorm.weight`.
"""

import abc
import pathlib
from typing import NamedTuple

import numpy as np


class TensorInfo(NamedTuple):
    """What a file says of a tensor.

    Attributes:
        shape: its dimensions.
        dtype: a NumPy dtype; those of `ml_dtypes` among them.
        file: where it lies, for errors.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    file: pathlib.Path


class TensorFile(abc.ABC):
    """Named tensors, in one file or several. Abstract. A context manager.

    Attributes:
        infos: a `TensorInfo` by name; known and checked before any tensor is read.
    """

    infos: dict[str, TensorInfo]

    @abc.abstractmethod
    def read(self, name: str) -> np.ndarray:
        """Reads a tensor: a view of mapped memory where the format allows it, else a new array.

        Args:
            name: one of `infos`.

        Returns:
            The array, read-only if mapped.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Lets go of the files."""

    def __enter__(self) -> "TensorFile":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
