"""Reads the checkpoints of Google's own BERT and ELECTRA code, which TensorFlow 1 wrote.

ELECTRA's hold two models: the discriminator's names begin with `electra/`, the generator's with
`generator/`; embeddings are under `electra/` unless the two were trained untied.
"""

import pathlib
import re
from typing import NoReturn

import ml_dtypes  # noqa: F401 - makes bfloat16 a dtype of NumPy
import numpy as np
import tensorflow as tf

from keras_lm.checkpoints.tensors import TensorFile, TensorInfo

# Of the optimizer (Adam, LAMB) and the loop, not of the model.
_TRAINING = re.compile(r"(^|/)(adam_[mv]|lamb_[mv]|Adam(_1)?|global_step|beta[12]_power)$")
# What the reader raises for files that are missing, cut short or something else.
_FAILURES = (tf.errors.OpError, ValueError, RuntimeError, IndexError)
_LEAVES = {"kernel": "weight", "gamma": "weight", "beta": "bias"}
# What is named otherwise than its layers; the heads of fine-tuned BERTs among them.
_NAMES = {
    "cls/predictions/output_bias": "cls/predictions/bias",
    "cls/seq_relationship/output_weights": "cls/seq_relationship/weight",
    "cls/seq_relationship/output_bias": "cls/seq_relationship/bias",
    "cls/squad/output_weights": "qa_outputs/weight",
    "cls/squad/output_bias": "qa_outputs/bias",
    "output_weights": "classifier/weight",
    "output_bias": "classifier/bias",
    "discriminator_predictions/dense_1/kernel": "discriminator_predictions/dense_prediction/kernel",
    "discriminator_predictions/dense_1/bias": "discriminator_predictions/dense_prediction/bias",
    "generator_predictions/output_bias": "generator_lm_head/bias",
}


class TF1Checkpoint(TensorFile):
    """The checkpoint of a directory; what only training needs is left out.

    Args:
        prefix: the path without `.index` and `.data-...`.

    Raises:
        ValueError: files are missing or cut short.
    """

    def __init__(self, prefix: pathlib.Path) -> None:
        try:
            self._reader = tf.train.load_checkpoint(str(prefix))
        except _FAILURES as error:
            _refuse(prefix, error)
        shapes = self._reader.get_variable_to_shape_map()
        dtypes = self._reader.get_variable_to_dtype_map()
        self.infos, self._places = {}, {}
        for place in sorted(shapes):
            if not _TRAINING.search(place):
                name, transposed = pytorch_name(place)
                shape = tuple(shapes[place])
                dtype = np.dtype(dtypes[place].as_numpy_dtype)
                self.infos[name] = TensorInfo(shape[::-1] if transposed else shape, dtype, prefix)
                self._places[name] = (place, transposed)

    def read(self, name: str) -> np.ndarray:
        """Reads a variable into a new array."""
        place, transposed = self._places[name]
        info = self.infos[name]
        try:
            array = self._reader.get_tensor(place)
        except _FAILURES as error:
            _refuse(info.file, error, name)
        return array.T if transposed else array

    def close(self) -> None:
        """Lets go of the files."""
        del self._reader


def _refuse(prefix: pathlib.Path, error: Exception, name: str = "") -> NoReturn:
    what = str(error).splitlines()[0]
    raise ValueError(
        f"A checkpoint's files must be there and whole. Received: {prefix}"
        f"{name and ', ' + name}: {what}"
    ) from None


def find_checkpoint(directory: pathlib.Path) -> pathlib.Path | None:
    """Finds the prefix of a directory's checkpoint; None where there is none.

    Raises:
        ValueError: there are several, and no file `checkpoint` says which is the last.
    """
    found = sorted(directory.glob("*.index"))
    state = tf.train.get_checkpoint_state(str(directory))
    if state is not None:
        # Its name alone: the path is that of another machine, or leads somewhere else.
        latest = directory / pathlib.PurePath(state.model_checkpoint_path).name
        if latest.with_name(f"{latest.name}.index") in found:
            return latest
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ValueError(
            "A directory must hold one checkpoint, or a file `checkpoint` that names the last. "
            f"Received: {directory} with {names}"
        )
    return found[0].with_suffix("") if found else None


def pytorch_name(name: str) -> tuple[str, bool]:
    """Translates `bert/encoder/layer_0/.../kernel` into PyTorch's name.

    Returns:
        The name, and whether the kernel lies the other way round.
    """
    parts = re.sub(r"/layer_(\d+)/", r"/layer/\1/", _NAMES.get(name, name)).split("/")
    leaf = parts[-1]
    if leaf.endswith("_embeddings"):
        parts.append("weight")
    else:
        parts[-1] = _LEAVES.get(leaf, leaf)
    return ".".join(parts), leaf == "kernel"
