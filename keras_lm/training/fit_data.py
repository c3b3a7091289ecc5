"""What `fit` must know of its data before it starts: kind, length, ids."""

import types
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# Keras's own default.
_BATCH_SIZE = 32


def refuse_generators(what: str, data: Any) -> None:
    """Raises for a Python generator.

    Keras reads the first batches of one to learn its shapes, and does not give them back.

    Raises:
        ValueError: `data` is a generator.
    """
    if isinstance(data, types.GeneratorType):
        raise ValueError(
            f"{what}() does not take a Python generator, of which Keras loses batches. Take "
            "tf.data.Dataset.from_generator, or a keras.utils.PyDataset. "
            f"Received: a generator {data.__name__!r}"
        )


def check_ids(data: Any, vocab_size: int | None) -> None:
    """Raises for token ids in NumPy arrays that the model has no embedding for.

    Tensors and datasets are not looked at: that would take a pass over them.

    Raises:
        ValueError: an id is outside `0 .. vocab_size - 1`.
    """
    while isinstance(data, (tuple, list)) and data:
        data = data[0]
    for name in ("token_ids", "decoder_token_ids"):
        ids = data.get(name) if isinstance(data, dict) else None
        if vocab_size is None or not isinstance(ids, np.ndarray) or not ids.size:
            continue
        if ids.min() < 0 or ids.max() >= vocab_size:
            raise ValueError(
                f"{name} must be in 0 .. {vocab_size - 1}. "
                f"Received: ids from {ids.min()} to {ids.max()}"
            )


def is_pipeline(data: Any) -> bool:
    """Says whether `data` is a pipeline of `keras_lm.data`, by the two members that `fit` needs."""
    return hasattr(data, "endless") and hasattr(data, "steps_per_epoch")


def first_step(pipeline: Any, steps_per_epoch: int, initial_epoch: int) -> int:
    """Returns the step of a pipeline's endless view that a training begins with.

    That of its first epoch; where the pipeline itself starts later (`start_step`), that stands.
    """
    return max(initial_epoch * steps_per_epoch, getattr(pipeline, "start_step", 0))


def view(pipeline: Any, strategy: Any, start_step: int) -> Any:
    """Returns what `fit` trains on: the endless view of a pipeline.

    Over several workers each makes its own part of the batches, where the pipeline knows how
    (`distributed`); by itself Keras lets each make all of them, and keep its part.
    """
    several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    if several and hasattr(pipeline, "distributed"):
        return pipeline.distributed(strategy, start_step)
    return pipeline.endless(start_step=start_step)


def check_executions(steps: int | None, steps_per_execution: int, values: dict[str, Any]) -> None:
    """Raises where an epoch would take more batches than it has.

    Args:
        steps: of an epoch, or None.
        steps_per_execution: as `compile` takes it.
        values: all arguments of `fit`, by name.

    Raises:
        ValueError: Keras's `steps_per_execution` would go on into the next epoch's batches.
    """
    goes_on = values["steps_per_epoch"] is not None
    if goes_on and steps is not None and steps % steps_per_execution:
        raise ValueError(
            "The steps of an epoch must be a multiple of steps_per_execution where the data go on "
            "in the next. "
            f"Received: {steps} steps, steps_per_execution={steps_per_execution}"
        )


def steps_per_epoch_of(values: dict[str, Any]) -> int | None:
    """Returns the number of steps of an epoch, None where the data do not know it.

    Args:
        values: all arguments of `fit`, by name.
    """
    x = values["x"]
    if values["steps_per_epoch"] is not None:
        return values["steps_per_epoch"]
    if is_pipeline(x):
        return int(x.steps_per_epoch)
    if isinstance(x, tf.data.Dataset):
        number = int(x.cardinality())
        return number if number > 0 else None
    if isinstance(x, keras.utils.PyDataset):
        return x.num_batches
    arrays = [array for array in keras.tree.flatten(x) if hasattr(array, "shape")]
    if not arrays or not arrays[0].shape:
        return None
    rows = int(arrays[0].shape[0])
    if values["validation_data"] is None:
        rows = int(rows * (1 - values["validation_split"]))
    return -(-rows // (values["batch_size"] or _BATCH_SIZE))
