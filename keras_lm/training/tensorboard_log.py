"""Scalars for TensorBoard, written with TensorFlow alone.

`tf.summary.scalar` is part of the package tensorboard, which is needed to look at the curves and
not to write them; `tf.summary.write` with the mark of that plugin writes the same.
"""

import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

_FLUSH_MILLISECONDS = 10_000


class TensorBoardLog:
    """One event file in a directory, begun with the first scalar.

    A training that is resumed begins a new file in the same directory: TensorBoard shows them as
    one curve, and where both have a step, the newer file's.

    Args:
        directory: of the run; made where it is missing.
    """

    def __init__(self, directory: str | os.PathLike) -> None:
        self.directory = os.fspath(directory)
        self._writer: Any = None

    def write(self, scalars: Mapping[str, Any], step: int) -> None:
        """Adds scalars at a step; None is left out.

        Args:
            scalars: numbers by tag, such as "train/loss".
            step: counted from 1.
        """
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(
                self.directory, flush_millis=_FLUSH_MILLISECONDS
            )
        with self._writer.as_default(step=step), tf.device("CPU:0"):
            for tag, value in scalars.items():
                if value is not None:
                    tf.summary.write(
                        tag, tf.constant(value, tf.float32), metadata=_scalar_metadata(tag)
                    )

    def flush(self) -> None:
        """Writes what is held back."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Closes the file; the next scalar begins another."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _scalar_metadata(tag: str) -> Any:
    metadata = tf.compat.v1.SummaryMetadata(display_name=tag)
    metadata.plugin_data.plugin_name = "scalars"
    metadata.data_class = 1  # DATA_CLASS_SCALAR
    return metadata
