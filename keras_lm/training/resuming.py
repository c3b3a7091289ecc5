"""What `fit` asks before it starts: where it begins."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

from keras_lm.training.checkpoints import Checkpoints
from keras_lm.training.data_position import Position
from keras_lm.training.fit_data import first_step, is_pipeline


def checkpoints_of(values: dict[str, Any]) -> Checkpoints | None:
    """Returns the `Checkpoints` among the callbacks of `fit`, which become a list.

    Args:
        values: all arguments of `fit`, by name.

    Raises:
        ValueError: there are two.
    """
    callbacks = values["callbacks"]
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    elif callbacks is not None:
        callbacks = values["callbacks"] = keras.tree.flatten(callbacks)
    found = [item for item in callbacks or () if isinstance(item, Checkpoints)]
    if len(found) > 1:
        raise ValueError(
            "A training has one Checkpoints. Received: "
            + ", ".join(f"Checkpoints({str(item.directory)!r})" for item in found)
        )
    return found[0] if found else None


@contextlib.contextmanager
def resumed(
    model: Any, values: dict[str, Any], steps_per_epoch: int | None, updates: int
) -> Iterator[Position]:
    """Finds out where `fit` begins, and holds its checkpoints while it runs.

    Args:
        model: a `LanguageModel`.
        values: all arguments of `fit`, by name.
        steps_per_epoch: None where it is not known.
        updates: that the optimizer has made.
    """
    epoch, n = values["initial_epoch"], steps_per_epoch or 0
    data_step = first_step(values["x"], n, epoch) if is_pipeline(values["x"]) else 0
    fresh = Position(epoch, 0, data_step, updates - epoch * n)
    checkpoints = checkpoints_of(values)
    if checkpoints is None:
        yield fresh
        return
    with checkpoints.training(model, fresh, values["x"]) as start:
        yield start
