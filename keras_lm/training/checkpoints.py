"""A training that can be killed at any step: `Checkpoints` saves it, and `fit` goes on from there.

Says when; what is saved is in `training_state`, how it lies on disk in `checkpoint_files`.
"""

import contextlib
import os
import pathlib
import time
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_lm.training import checkpoint_files as files
from keras_lm.training import sigterm, training_state, workers
from keras_lm.training.best_epoch import best_first, mode_of
from keras_lm.training.data_position import Position, check_fingerprint, fingerprint
from keras_lm.training.fit_data import is_pipeline
from keras_lm.training.keras_overrides import EpochStart, strategy_of
from keras_lm.version import __version__

FORMAT = 1
DEFAULT_MINUTES = 10.0
# What a worker wants at the end of a step; the highest wish of all is done by all.
_GO_ON, _SAVE, _STOP = 0, 1, 2


class Checkpoints(keras.callbacks.Callback):
    """Saves a training while it runs; `fit` with the same directory goes on where it was.

    ```python
    model.fit(data, epochs=3, callbacks=[keras_lm.training.Checkpoints("checkpoints/run")])
    ```

    Saved are weights, optimizer with its iterations, learning rate and loss scale, the state of
    every `keras.random.SeedGenerator`, the metrics of the running epoch, the history and the
    position in the data. So a training that was killed, at any step, gives the losses, the logs
    and the weights that it would have given: on one device bit for bit, over several to 1e-6.

    It is saved every so many steps or minutes, at the end of each epoch, and when the process gets
    SIGTERM: at the end of the running step, after which it exits with status 143. A checkpoint that
    can't be written is warned of, and the training goes on.

    When `fit` begins, it takes the newest checkpoint whose checksums are right; those that are
    damaged are warned of and renamed `damaged-...`. A training that reached its last epoch is not
    repeated. Data are a pipeline of keras_lm.data, or a `tf.data.Dataset` that gives the same
    batches each time it is iterated (its batches before the position are read and dropped). Models
    are those of `keras_lm.training.LanguageModel`.

    Over several workers all of them pass it, with one directory that all of them see; the chief
    writes. Their number may change between two runs.

    Not saved: what other callbacks remember (EarlyStopping, ReduceLROnPlateau), the state of
    TensorFlow's own stateful random operations, Python code.

    Args:
        directory: of this training alone. Made where it is missing.
        every_steps: steps between two checkpoints.
        every_minutes: minutes between two checkpoints. None: 10, or where `every_steps` is given
            steps alone count.
        keep: how many of the last checkpoints stay.
        monitor: name of the value in the epoch's logs by which the best checkpoint is found,
            such as "val_loss"; it stays too. None: there is no best one.
        mode: "min" or "max"; None: by the monitor's name.

    Raises:
        ValueError: a number is not positive; or no mode is known for the monitor.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        *,
        every_steps: int | None = None,
        every_minutes: float | None = None,
        keep: int = 3,
        monitor: str | None = None,
        mode: str | None = None,
    ) -> None:
        super().__init__()
        for name, value, kinds in (
            ("every_steps", every_steps, (int,)),
            ("every_minutes", every_minutes, (int, float)),
            ("keep", keep, (int,)),
        ):
            if value is not None and (not isinstance(value, kinds) or not value > 0):
                raise ValueError(f"{name} must be positive. Received: {name}={value!r}")
        if "://" in os.fspath(directory):
            raise ValueError(
                "directory must be a folder that this machine has mounted: checkpoints need its "
                f"renames. Received: directory={os.fspath(directory)!r}"
            )
        self.directory = pathlib.Path(directory)
        self.every_steps, self.keep = every_steps, keep
        if every_steps is None and every_minutes is None:
            every_minutes = DEFAULT_MINUTES
        self.every_minutes = every_minutes
        self.monitor, self.mode = monitor, mode_of(monitor, mode)
        self._running = False

    # What others ask.

    @property
    def newest(self) -> pathlib.Path | None:
        """The newest checkpoint that is whole; None where there is none."""
        found = files.newest(self.directory, damaged_aside=False)
        return None if found is None else self.directory / found[0]

    @property
    def best(self) -> pathlib.Path | None:
        """The checkpoint of the best epoch by `monitor`; None where there is none."""
        found = files.newest(self.directory, damaged_aside=False)
        name = None if found is None else self._best_name(found[1]["history"])
        return None if name is None else self.directory / name

    def load_weights(self, model: Any, which: str = "newest") -> pathlib.Path:
        """Gives a model the weights of a checkpoint, and nothing else of it.

        Args:
            model: the model that was trained, or one of the same arguments.
            which: "newest" or "best".

        Returns:
            The checkpoint's path.

        Raises:
            ValueError: `which` is neither, or the checkpoint is of another model.
            FileNotFoundError: there is no such checkpoint.
        """
        if which not in ("newest", "best"):
            raise ValueError(f'which must be "newest" or "best". Received: which={which!r}')
        path = self.newest if which == "newest" else self.best
        if path is None:
            raise FileNotFoundError(
                f"There must be a checkpoint. Received: directory={str(self.directory)!r} without "
                f"a {which} one" + ("" if self.monitor or which == "newest" else ", monitor=None")
            )
        if not model.built:
            model.build(None)
        described = files.read(path)["variables"]
        training_state.load_weights(model, str(path / files.VARIABLES), described, path)
        return path

    # What `fit` does with it.

    @contextlib.contextmanager
    def training(self, model: Any, fresh: Position, data: Any) -> Iterator[Position]:
        """Holds the directory while `fit` runs.

        Args:
            model: a `LanguageModel`.
            fresh: where the training begins if there is no checkpoint.
            data: as `fit` was given them.

        Yields:
            Where the training begins.

        Raises:
            ValueError: the directory can't be written, another training uses it, or its newest
                checkpoint is of another model or of other data; the data can't be continued.
        """
        self._strategy, self._is_pipeline = strategy_of(model), is_pipeline(data)
        self._chief = workers.is_chief(self._strategy)
        self._fingerprint = fingerprint(data)
        self._terminated = False
        self._snapshot: Any = None
        with files.owned(self.directory) if self._chief else contextlib.nullcontext():
            self._restored = self._agreed(
                files.newest(self.directory, damaged_aside=True) if self._chief else None
            )
            start = fresh
            if self._restored is not None:
                name, manifest = self._restored
                _check_format(manifest, self.directory / name)
                if self._chief:
                    check_fingerprint(
                        self._fingerprint, manifest["fingerprint"], self.directory / name
                    )
                start = Position(**manifest["position"])
            self._start = start
            skip = 0 if self._is_pipeline else start.data_step
            logs = self._restored[1]["logs"] if self._restored else {}
            self._progress = EpochStart(start.step, skip, logs, lambda: self._restore(model))
            model.begin_at(self._progress)
            self._running = True
            try:
                with sigterm.noted(self._note_end):
                    yield start
            finally:
                self._running = False
                model.begin_at(None)

    def _agreed(self, chosen: tuple[str, dict[str, Any]] | None) -> Any:
        """Returns what the chief chose, on all workers."""
        if not workers.are_several(self._strategy):
            return chosen
        place = (0, 0) if chosen is None else Position(**chosen[1]["position"])[:2]
        epoch, step = (workers.agree(self._strategy, number) for number in place)
        if chosen is not None or epoch == step == 0:
            return chosen
        name = files.name_of(epoch, step)
        try:
            return name, files.read(self.directory / name)
        except files.DamagedError as error:
            raise ValueError(
                "All workers must see the directory that the chief writes to. Received: "
                f"directory={str(self.directory)!r}, whose {name} this worker can't read: {error}"
            ) from error

    def _restore(self, model: Any) -> None:
        self._state = training_state.TrainingState(model)
        self._epoch, self._step, self._steps = self._start.epoch, self._start.step, 0
        self._logs: dict[str, Any] = {}
        self._history: dict[str, Any] = {"epochs": [], "logs": {}}
        self._last_name = None
        if self._restored is not None:
            self._last_name, manifest = self._restored
            described, path = manifest["variables"], self.directory / self._last_name
            self._state.check(described, path)
            groups = ("weights", "optimizer", "random")
            self._state.restore(str(path / files.VARIABLES), described, groups)
            self._history, self._logs = manifest["history"], manifest["logs"]
            self._steps = manifest["steps"]
        self._steps_saved, self._time_saved = self._steps, time.monotonic()

    def _note_end(self) -> None:
        self._terminated = True

    # What Keras calls.

    def on_train_begin(self, logs: Any = None) -> None:
        """Says where the training begins, if it is not the beginning."""
        if not self._running:
            raise ValueError(
                "Checkpoints is for the fit() of a keras_lm.training.LanguageModel, which knows "
                f"the position in its data. Received: a {type(self.model).__name__}"
            )
        if self._restored is not None:
            path = self.directory / self._restored[0]
            self._say(f"Going on from {path}: epoch {self._epoch + 1}, step {self._step}.")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Restores metrics and history in the first epoch."""
        self._epoch, self._step = epoch, 0
        if self._restored is not None:
            self._step = self._start.step
            self._fill_history()
            if self._step:
                name, manifest = self._restored
                prefix = str(self.directory / name / files.VARIABLES)
                self._state.restore(prefix, manifest["variables"], ("metrics",))
            self._restored = None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Saves if it is time to."""
        self._steps += batch + 1 - self._step
        self._step, self._logs = batch + 1, dict(logs or {})
        wish = _SAVE if self._is_due() else _GO_ON
        self._do(workers.agree(self._strategy, _STOP if self._terminated else wish))

    def on_test_begin(self, logs: Any = None) -> None:
        """Keeps the metrics of the epoch, which validation starts anew."""
        if self._running:
            self._snapshot = self._state.replica_values()

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Saves and exits if the process shall end; else validation goes on."""
        if self._running:
            self._do(workers.agree(self._strategy, _STOP if self._terminated else _GO_ON))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Saves the end of the epoch."""
        self._snapshot = None
        self._history["epochs"].append(epoch)
        for name, value in (logs or {}).items():
            # An epoch without validation has no value of it.
            self._history["logs"].setdefault(name, []).append([epoch, value])
        if self.monitor is not None and self.monitor not in (logs or {}):
            warnings.warn(
                f"monitor must be one of the values of an epoch, {', '.join(logs or {})}. "
                f"Received: monitor={self.monitor!r}",
                stacklevel=2,
            )
        self._epoch, self._step, self._logs = epoch + 1, 0, {}
        self._do(workers.agree(self._strategy, _STOP if self._terminated else _SAVE))

    def on_train_end(self, logs: Any = None) -> None:
        """Gives a training that was complete before its history."""
        if self._restored is not None:
            self._fill_history()

    def _fill_history(self) -> None:
        history = self.model.history
        history.epoch[:] = self._history["epochs"]
        for name, values in self._history["logs"].items():
            history.history[name] = [value for _, value in values]

    def _is_due(self) -> bool:
        if self._step == self.params.get("steps"):
            return False  # the end of the epoch is saved, and comes soon
        if self.every_steps is not None:
            each = self.every_steps
            if self._steps // each > self._steps_saved // each:
                return True
        if self.every_minutes is None or not self._chief:
            return False
        return time.monotonic() - self._time_saved >= 60 * self.every_minutes

    # Saving.

    def _do(self, decision: int) -> None:
        if decision == _GO_ON:
            return
        name = files.name_of(self._epoch, self._step)
        values = self._state.replica_values() if self._snapshot is None else self._snapshot
        written = True
        if self._chief and name != self._last_name:
            written = self._write(name, values)
        self._steps_saved, self._time_saved = self._steps, time.monotonic()
        if decision == _STOP:
            workers.agree(self._strategy, _GO_ON)  # nobody leaves before the chief has written
            said = f"saved {self.directory / name}, " if written else ""
            self._say(f"SIGTERM: {said}exiting with status {sigterm.STATUS}.")
            raise SystemExit(sigterm.STATUS)

    def _write(self, name: str, values: training_state.ReplicaValues) -> bool:
        manifest = {
            "format": FORMAT,
            "version": __version__,
            "position": self._position()._asdict(),
            "steps": self._steps,
            "logs": {key: _plain(value) for key, value in self._logs.items()},
            "history": _plain(self._history),
            "fingerprint": self._fingerprint,
            "variables": self._state.describe(),
        }
        try:
            files.write(
                self.directory,
                name,
                manifest,
                lambda prefix: self._state.write(prefix, values),
            )
            self._last_name = name
            newest = files.names(self.directory)[-self.keep :]
            kept = {*newest, name, self._best_name(self._history)}
            files.keep_only(self.directory, {name for name in kept if name})
            return True
        except (OSError, tf.errors.OpError) as error:
            warnings.warn(
                f"Checkpoint {self.directory / name} could not be written, and the training goes "
                f"on; the last one is {self._last_name or 'none'}. {error}",
                stacklevel=2,
            )
            return False

    def _position(self) -> Position:
        taken = self._progress.batches_taken
        if self._is_pipeline:
            taken += self._start.data_step
        elif not self._step and self._progress.rereads_every_epoch:
            taken = 0
        return Position(self._epoch, self._step, taken, self._start.updates_before)

    def _best_name(self, history: dict[str, Any]) -> str | None:
        """Returns the name of the best epoch's checkpoint, of those that are there."""
        if self.monitor is None:
            return None
        there = set(files.names(self.directory))
        epochs = best_first(history["logs"].get(self.monitor, ()), self.mode)
        ends = (files.name_of(epoch + 1, 0) for epoch in epochs)
        return next((name for name in ends if name in there), None)

    def _say(self, text: str) -> None:
        if self._chief and self.params.get("verbose"):
            print(text, flush=True)


def _check_format(manifest: dict[str, Any], where: pathlib.Path) -> None:
    if manifest["format"] > FORMAT:
        raise ValueError(
            f"A checkpoint must be of format {FORMAT} or older. Received: {where} of format "
            f"{manifest['format']}, written by keras_lm {manifest['version']}"
        )


def _plain(value: Any) -> Any:
    """What JSON can hold of logs."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value
