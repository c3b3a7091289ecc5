"""The figures of the field behind each epoch, for stopping early and for keeping the best."""

from collections.abc import Iterable
from typing import Any

import keras

from keras_lm.data.table_rows import Files, Values
from keras_lm.tasks.evaluating import evaluate
from keras_lm.training import Distillation


class EvaluateEachEpoch(keras.callbacks.Callback):
    """Asks the model behind each epoch, as `keras_lm.evaluate` does, and adds figures to the logs.

    Of a `Distillation` its student is asked. Callbacks that stand behind it see the figures, and so
    does the history:

        best = keras.callbacks.EarlyStopping(
            "val_macro_f1", mode="max", patience=2, restore_best_weights=True
        )
        model.fit(data, epochs=20, callbacks=[EvaluateEachEpoch("dev.tsv"), best])

    Args:
        files: as of `keras_lm.evaluate`; and so are the others.
        rows: see there.
        prefix: before each figure's name in the logs.
        batch_size: see there.
        **reading: see there.
    """

    def __init__(
        self,
        files: Files | None = None,
        *,
        rows: Iterable[Values] | None = None,
        prefix: str = "val_",
        batch_size: int | None = None,
        **reading: Any,
    ) -> None:
        super().__init__()
        self.files, self.rows, self.prefix = files, rows, prefix
        self.batch_size, self.reading = batch_size, reading

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds the figures that are numbers."""
        figures = evaluate(
            self.model.student if isinstance(self.model, Distillation) else self.model,
            self.files,
            rows=self.rows,
            batch_size=self.batch_size,
            verbose=0,
            **self.reading,
        )
        numbers = {k: v for k, v in figures.items() if isinstance(v, float)}
        if logs is not None:
            logs.update({f"{self.prefix}{name}": value for name, value in numbers.items()})
