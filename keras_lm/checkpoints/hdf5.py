"""Reads `tf_model.h5`, as the TensorFlow models of Transformers 2 to 4 wrote it.

A dataset lies at `GROUP/MODEL/bert/encoder/layer_._0/attention/self/query/kernel:0`: the layer that
held it, the model, and Transformers' name with other separators. Layers that share weights repeat
them, under the same name.
"""

import pathlib
import re

import h5py
import numpy as np

from keras_lm.checkpoints.tensors import TensorFile, TensorInfo

_LEAVES = {"kernel": "weight", "embeddings": "weight", "gamma": "weight", "beta": "bias"}


class HDF5File(TensorFile):
    """One file.

    Args:
        path: of the file.

    Raises:
        ValueError: it is cut short, or not what Keras 2 wrote.
    """

    def __init__(self, path: pathlib.Path) -> None:
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise ValueError(
                f"Model files must be whole. Received: {path}, which HDF5 can't open: {error}"
            ) from None
        self.infos, self._places = {}, dict[str, tuple[str, bool]]()
        if "layer_names" not in self._file.attrs:
            self._file.close()
            raise ValueError(
                "A tf_model.h5 must be one that TensorFlow models of Transformers wrote. "
                f"Received: {path}, which names no layers"
            )
        self._file.visititems(lambda place, item: self._add(path, place, item))

    def _add(self, path: pathlib.Path, place: str, item: h5py.Dataset | h5py.Group) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        if item.external or item.is_virtual:
            raise ValueError(
                "A tf_model.h5 must hold its tensors itself. "
                f"Received: {path}, whose {place} lies in another file"
            )
        name, transposed = pytorch_name(place.partition("/")[2] or place)
        shape = item.shape[::-1] if transposed else item.shape
        if name.endswith(".bias") and len(shape) == 2 and shape[0] == 1:
            shape = shape[1:]  # The bias of a Conv1D is a row there.
        if name in self.infos and self.infos[name].shape != shape:
            raise ValueError(
                "What a tf_model.h5 repeats must have one shape. "
                f"Received: {path} with {name} of {self.infos[name].shape} and {shape}"
            )
        self.infos[name] = TensorInfo(shape, item.dtype, path)
        self._places[name] = (place, transposed)

    def read(self, name: str) -> np.ndarray:
        """Reads a dataset into a new array."""
        place, transposed = self._places[name]
        array = self._file[place][()]
        return array.T if transposed else array.reshape(self.infos[name].shape)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def pytorch_name(name: str) -> tuple[str, bool]:
    """Translates `MODEL/bert/encoder/layer_._0/.../kernel:0` into PyTorch's name.

    `_._` stands for a level, as of a list; of `mlm___cls` only what is behind `___` counts.

    Returns:
        The name, and whether the kernel lies the other way round.
    """
    name = re.sub(r"/[^/]*___", "/", name.removesuffix(":0")).replace("_._", "/")
    parts = [part for part in name.split("/") if part]
    parts = parts[1:] or parts  # A weight of the model itself has no level before it.
    leaf = parts[-1]
    return ".".join([*parts[:-1], _LEAVES.get(leaf, leaf)]), leaf == "kernel"
