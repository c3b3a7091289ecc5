"""Finds the weights of a directory, whatever their format."""

import pathlib

from keras_lm.checkpoints.hdf5 import HDF5File
from keras_lm.checkpoints.safetensors_files import INDEX, SafetensorsFile, ShardedSafetensors
from keras_lm.checkpoints.safetensors_writing import SINGLE
from keras_lm.checkpoints.tensors import TensorFile
from keras_lm.checkpoints.tf1 import TF1Checkpoint, find_checkpoint

HDF5 = "tf_model.h5"
PICKLE = "pytorch_model.bin"
REFUSES_PICKLE = (
    f"{PICKLE} is a pickle, which can run any code when it is read, so it is not read here. "
    "Convert it, in its directory, with\n  "
    "python -c \"import torch, safetensors.torch as s; w = torch.load('pytorch_model.bin', "
    "weights_only=True); s.save_file({k: v.clone().contiguous() for k, v in w.items()}, "
    "'model.safetensors', {'format': 'pt'})\""
)


def open_tensors(directory: pathlib.Path) -> TensorFile:
    """Opens the weights of a directory and checks their headers.

    In this order: `model.safetensors`, `model.safetensors.index.json` and its files, `tf_model.h5`,
    a TensorFlow checkpoint.

    Args:
        directory: where they are.

    Returns:
        The tensors; to be closed.

    Raises:
        FileNotFoundError: there are no weights, or a part of them is missing.
        ValueError: there is a pickle alone, or files that are cut short or contradict themselves.
    """
    if (directory / SINGLE).is_file():
        return SafetensorsFile(directory / SINGLE)
    if (directory / INDEX).is_file():
        return ShardedSafetensors(directory / INDEX)
    if (directory / HDF5).is_file():
        return HDF5File(directory / HDF5)
    checkpoint = find_checkpoint(directory)
    if checkpoint is not None:
        return TF1Checkpoint(checkpoint)
    if (directory / f"{HDF5}.index.json").is_file():
        raise ValueError(
            "Weights in several tf_model files can't be read; save_pretrained of Transformers 4 "
            f"with safe_serialization=True writes what can. Received: {directory}"
        )
    if (directory / PICKLE).is_file() or (directory / f"{PICKLE}.index.json").is_file():
        raise ValueError(f"{REFUSES_PICKLE}\nReceived: {directory}, which has no other file")
    names = sorted(path.name for path in directory.iterdir())
    raise FileNotFoundError(
        f"A model's directory must hold {SINGLE}, {INDEX}, {HDF5} or a TensorFlow checkpoint. "
        f"Received: {directory} with {', '.join(names) or 'nothing'}"
    )
