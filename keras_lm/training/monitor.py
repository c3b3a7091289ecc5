"""To watch a training: progress, TensorBoard, CSV files, and an end where a loss is no number."""

import math
import os
import pathlib
import time
import warnings
from collections.abc import Mapping
from typing import Any

import keras

from keras_lm.training.csv_table import CsvTable
from keras_lm.training.peak_flops import measured_peak_flops
from keras_lm.training.progress_line import ProgressLine
from keras_lm.training.step_values import RecordsSteps, Step
from keras_lm.training.tensorboard_log import TensorBoardLog


# To be a ProgbarLogger makes Keras leave its own bar out, and `verbose` of `fit` reach this one.
class Monitor(keras.callbacks.ProgbarLogger):
    """Shows and records a training, and stops it where the loss is no number.

    ```python
    model.fit(data, epochs=3, callbacks=[keras_lm.training.Monitor("runs/bert")])
    ```

    `verbose` of `fit` goes on saying what is shown: 1 a bar with tokens per second and the time
    left (a line every `log_seconds` where there is no terminal), 2 a line for each epoch, 0
    nothing. Written to the directory, each only by the first of several workers:

    - `steps.csv`, a row for every `every` steps: `step` (of the training, from 1), `epoch` (from
      1), `loss` (mean of the steps since the row before), the metrics (Keras's running means since
      the epoch began), `learning_rate` (of the last of the steps), `gradient_norm` (mean),
      `tokens` and `seconds` (sums), `tokens_per_second`, `flops_utilization`.
    - `epochs.csv`, a row for each epoch, with the results of validation as `val_...`.
    - `events.out.tfevents...`, the same for TensorBoard: tags `train/...` and `validation/...`.

    A training that is resumed goes on with these files: rows from its first step on are cut. A row
    that cannot be written is warned of, and the training goes on.

    Tokens are those of the global batch that are no padding, special tokens among them; see
    `real_tokens`. Seconds are those of the wall between the ends of steps: waiting for data and
    other callbacks are in them, validation is not; the first step of a training has the time that
    it takes to trace it. With `steps_per_execution` above 1, the steps of an execution share its
    seconds evenly.

    `flops_utilization` is the share of the devices' peak that the model's own operations make up
    (MFU: Chowdhery et al. 2022, arXiv:2204.02311, appendix B; what is counted: `training_flops`).

    The gradient's norm is that of the global batch, after replicas were summed and the loss was
    unscaled, before clipping. With gradient accumulation it is that of the last update.

    Args:
        directory: where files go. None: no files.
        every: steps between two rows.
        gradient_norm: whether to compute the norm: one more pass over the gradients.
        peak_flops: floating-point operations a second that one device can do at most, in the dtype
            of the training, as its vendor says; or "measure": those of a matrix product, measured
            as the training begins. None: no `flops_utilization`.
        tensorboard: whether to write for TensorBoard.
        stop_on_nan: whether to raise where a loss or a gradient's norm is nan or infinite.
        log_seconds: see above.

    Raises:
        ValueError: a number is out of range; the model is no `LanguageModel`, or its optimizer does
            not tell the gradient's norm; a file in the directory is no log of this kind.
        FloatingPointError: from `fit`: the loss or the gradient's norm is not finite.
    """

    def __init__(
        self,
        directory: str | os.PathLike | None = None,
        *,
        every: int = 1,
        gradient_norm: bool = True,
        peak_flops: float | str | None = None,
        tensorboard: bool = True,
        stop_on_nan: bool = True,
        log_seconds: float = 30.0,
    ) -> None:
        super().__init__()
        if not isinstance(every, int) or every < 1:
            raise ValueError(f"every must be a positive number of steps. Received: every={every!r}")
        measured = peak_flops == "measure"
        if not (peak_flops is None or measured) and not (
            isinstance(peak_flops, (int, float)) and peak_flops > 0
        ):
            raise ValueError(
                'peak_flops must be a positive number, "measure" or None. '
                f"Received: peak_flops={peak_flops!r}"
            )
        if not log_seconds > 0:
            raise ValueError(f"log_seconds must be positive. Received: log_seconds={log_seconds!r}")
        self.directory = None if directory is None else pathlib.Path(directory)
        self.every, self.gradient_norm, self.peak_flops = every, gradient_norm, peak_flops
        self.tensorboard, self.stop_on_nan = tensorboard, stop_on_nan
        self.log_seconds = log_seconds
        self._steps: CsvTable | None = None
        self._epochs: CsvTable | None = None
        self._board: TensorBoardLog | None = None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Switches the recording of steps on."""
        super().on_train_begin(logs)
        model: Any = self.model
        if not isinstance(model, RecordsSteps):
            raise ValueError(
                "Monitor watches a keras_lm.training.LanguageModel. "
                f"Received: a {type(model).__name__}"
            )
        self._values = model.watch(self.gradient_norm)
        self._peak = self._peak_of_all(model)
        if self.directory is not None and _writes(model):
            self._steps = CsvTable(self.directory / "steps.csv", "step")
            self._epochs = CsvTable(self.directory / "epochs.csv", "epoch")
            self._board = TensorBoardLog(self.directory) if self.tensorboard else None
        verbose = self.verbose if _writes(model) else 0
        self._line = ProgressLine(self.epochs, self.target, self.log_seconds) if verbose else None
        self._shows_steps = verbose == 1
        self._step: int | None = None
        self._pending: list[Step] = []
        self._pending_seconds = 0.0

    def _peak_of_all(self, model: Any) -> float | None:
        if self.peak_flops is None:
            return None
        one = self.peak_flops
        if one == "measure":
            one = measured_peak_flops(model.dtype_policy.compute_dtype)
        return float(one) * model.distribute_strategy.num_replicas_in_sync

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Starts the clock of an epoch."""
        self._epoch, self._batch = epoch, 0
        self._epoch_start = self._clock = time.monotonic()
        self._epoch_tokens = 0.0

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Notes which step comes first, once other callbacks have restored what they restore."""
        if self._step is None:
            self._step = self.model.steps_made()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Reads what the steps since the last call recorded, and passes it on."""
        now = time.monotonic()
        steps, seconds = self._values.read(), now - self._clock
        self._clock = now
        self._batch = batch + 1
        metrics = {name: float(value) for name, value in (logs or {}).items() if name != "loss"}
        for i, step in enumerate(steps):
            self._step = (self._step or 0) + 1
            self._epoch_tokens += step.tokens
            self._pending.append(step)
            self._pending_seconds += seconds / len(steps)
            bad = self.stop_on_nan and _is_bad(step)
            if self._step % self.every == 0 or bad:
                self._write_row(metrics)
            if bad:
                self._stop(step, self._batch - (len(steps) - 1 - i))
        if self._line is not None and self._shows_steps and steps:
            shown = {**_loss_first(logs), "lr": f"lr {steps[-1].learning_rate:.2e}"}
            pace = sum(step.tokens for step in steps) / max(seconds, 1e-9)
            self._line.update(self._epoch, self._batch, {**shown, "tokens": _pace(pace)})

    def _write_row(self, metrics: Mapping[str, float]) -> None:
        steps, seconds = self._pending, max(self._pending_seconds, 1e-9)
        self._pending, self._pending_seconds = [], 0.0
        tokens = sum(step.tokens for step in steps)
        row = {
            "step": self._step,
            "epoch": self._epoch + 1,
            "loss": sum(step.loss for step in steps) / len(steps),
            **metrics,
            "learning_rate": steps[-1].learning_rate,
        }
        if self.gradient_norm:
            row["gradient_norm"] = sum(step.gradient_norm for step in steps) / len(steps)
        row |= {"tokens": int(tokens), "seconds": seconds, "tokens_per_second": tokens / seconds}
        if self._peak is not None:
            flops = sum(step.flops for step in steps)
            row["flops_utilization"] = flops / seconds / self._peak
        _write(self._steps, row)
        if self._board is not None:
            hidden = ("step", "tokens", "seconds")
            scalars = {f"train/{name}": row[name] for name in row if name not in hidden}
            self._board.write(scalars, self._step or 0)

    def _stop(self, step: Step, batch: int) -> None:
        self._close()
        what = "gradient norm" if math.isfinite(step.loss) else "loss"
        raise FloatingPointError(
            f"The {what} of every step must be finite. Received: loss {step.loss}, gradient norm "
            f"{step.gradient_norm}, learning rate {step.learning_rate:.3g} at step {self._step}, "
            f"batch {batch} of epoch {self._epoch + 1} (each counted from 1); the training was "
            "stopped, and its weights are no longer of use"
        )

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Writes the epoch, with the results of validation."""
        logs = _loss_first(logs)
        row = {"epoch": epoch + 1, "step": self._step, **logs}
        _write(self._epochs, row)
        if self._board is not None:
            results = {
                f"validation/{name.removeprefix('val_')}": value
                for name, value in logs.items()
                if name.startswith("val_")
            }
            self._board.write(results, self._step or 0)
            self._board.flush()
        if self._line is not None:
            seconds = self._clock - self._epoch_start
            pace = self._epoch_tokens / max(seconds, 1e-9)
            self._line.end_epoch(epoch, {"s": f"{seconds:.0f} s", "t": _pace(pace), **logs})

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Writes steps that fill no row of `every`, and ends the files."""
        if self._pending:
            self._write_row({})
        self._close()

    def _close(self) -> None:
        if self._board is not None:
            self._board.close()


def _write(table: CsvTable | None, row: Mapping[str, Any]) -> None:
    if table is None:
        return
    try:
        table.write(row)
    except OSError as error:  # a full disk; days of training are worth more than a row
        warnings.warn(
            f"A row of {table.path} could not be written, and the training goes on. {error}",
            stacklevel=2,
        )


def _is_bad(step: Step) -> bool:
    return not (math.isfinite(step.loss) and math.isfinite(step.gradient_norm))


def _loss_first(logs: Mapping[str, Any] | None) -> dict[str, float]:
    logs = logs or {}
    return {name: float(logs[name]) for name in sorted(logs, key=lambda name: name != "loss")}


def _pace(tokens_per_second: float) -> str:
    return f"{tokens_per_second:,.0f} tokens/s"


def _writes(model: Any) -> bool:
    """Says whether this process is the one that writes: the first of several workers."""
    return model.distribute_strategy.extended.should_save_summary
