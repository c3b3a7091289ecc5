"""The mean of several checkpoints' weights (Vaswani et al. 2017, arXiv:1706.03762, section 6.1)."""

import contextlib
import os
import pathlib
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Sequence
from typing import Any

import h5py
import ml_dtypes
import numpy as np

_MEMBER = "model.weights.h5"  # of a .keras file


def average_checkpoints(model: Any, paths: Sequence[str | os.PathLike]) -> None:
    """Loads the mean of the weights of several files into a model.

    Tensors are summed in float64, one after the other, so memory is that of the model and of one
    tensor. What is no float is that of the last file. The optimizer stays as it is. Keras writes
    the files:

    ```python
    keep = keras.callbacks.ModelCheckpoint("run/{epoch:03d}.weights.h5", save_weights_only=True)
    model.fit(data, epochs=20, callbacks=[keep])
    average_checkpoints(model, sorted(glob.glob("run/*.weights.h5"))[-5:])
    ```

    Args:
        model: a `keras.Model` of the shape that the files are of.
        paths: files `.weights.h5` or `.keras`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: no file, one of another kind, or files of different models.
    """
    files = [pathlib.Path(path) for path in paths]
    if not files:
        raise ValueError("paths must be one file or more. Received: no path")
    for file in files:
        if not file.name.endswith((".weights.h5", ".keras")):
            raise ValueError(f"A checkpoint is a .weights.h5 or a .keras file. Received: {file}")
        if not file.exists():
            raise FileNotFoundError(f"A checkpoint must exist. Received: {file}")
    if not model.built:
        model.build()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mean = folder / "mean.weights.h5"
        opened = []
        for number, file in enumerate(files):
            weights = _weights_file(file, folder / str(number))
            opened.append(stack.enter_context(_open(weights, file)))
        # The last file, with the means in the place of its numbers.
        shutil.copyfile(weights, mean)
        with h5py.File(mean, "r+") as target:
            if "optimizer" in target:
                del target["optimizer"]
            _average(target, opened, files)
        with warnings.catch_warnings():
            # Left out on purpose.
            warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")
            model.load_weights(mean)


def _weights_file(file: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    if file.suffix != ".keras":
        return file
    try:
        with zipfile.ZipFile(file) as archive:
            return pathlib.Path(archive.extract(_MEMBER, folder))
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(
            f"A .keras file must be an archive with {_MEMBER}. Received: {file}, {error}"
        ) from error


def _open(weights: pathlib.Path, file: pathlib.Path) -> h5py.File:
    try:
        return h5py.File(weights, "r")
    except OSError as error:
        raise ValueError(f"A checkpoint must hold HDF5. Received: {file}, {error}") from error


def _average(target: h5py.File, opened: list[h5py.File], files: list[pathlib.Path]) -> None:
    """Writes the means of the opened files' tensors over those of `target`."""
    expected = _shapes(target)
    for source, file in zip(opened, files, strict=True):
        found = _shapes(source)
        if found != expected:
            name = min(
                name for name in {**found, **expected} if found.get(name) != expected.get(name)
            )
            raise ValueError(
                "Checkpoints must be of one model. Received: a tensor "
                f"{name} of shape {found.get(name)} in {file}, {expected.get(name)} in {files[-1]}"
            )
    for name in expected:
        dataset = target[name]
        half = dataset.attrs.get("dtype") == "bfloat16"
        if not half and not np.issubdtype(dataset.dtype, np.floating):
            continue
        total = np.zeros(dataset.shape, np.float64)
        for source in opened:
            total += np.array(source[name], ml_dtypes.bfloat16 if half else None)
        total /= len(opened)
        dataset[...] = total.astype(ml_dtypes.bfloat16) if half else total


def _shapes(file: h5py.File) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of the model, by name."""
    shapes: dict[str, tuple[int, ...]] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer/"):
            shapes[name] = item.shape

    file.visititems(visit)
    return shapes
