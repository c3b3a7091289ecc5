"""What a terminal, or a log, shows of a training while it runs."""

import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

_SECONDS_BETWEEN_REDRAWS = 0.1


class ProgressLine:
    """A bar that is redrawn in a terminal; where there is none, a line every so often.

    The time left is that of the whole training: the steps left, at the mean pace since the first
    step of this process ended, with validation and saving in it.

    Args:
        epochs: of the training.
        steps: of an epoch; None: not known.
        every: seconds between two lines where there is no terminal.
    """

    def __init__(self, epochs: int, steps: int | None, every: float) -> None:
        self.epochs, self.steps, self.every = epochs, steps, every
        self._shown = time.monotonic()
        self._start: tuple[float, int] | None = None
        self._width = 0

    def update(self, epoch: int, batch: int, values: Mapping[str, Any]) -> None:
        """Shows a step, unless another was shown just now.

        Args:
            epoch: counted from 0.
            batch: how many batches of the epoch are done.
            values: numbers by name; texts are shown as they are.
        """
        now = time.monotonic()
        done = epoch * (self.steps or 0) + batch
        if self._start is None:
            self._start = now, done
        in_terminal = sys.stdout.isatty()
        if now - self._shown < (_SECONDS_BETWEEN_REDRAWS if in_terminal else self.every):
            return
        self._shown = now
        parts = [_told(values), self._left(now, done)]
        line = self._bar(epoch, batch, ", ".join(part for part in parts if part))
        if in_terminal:
            line = line[: shutil.get_terminal_size().columns - 1]
            print(f"\r{line:<{self._width}}", end="", flush=True)
            self._width = len(line)
        else:
            print(line, flush=True)

    def end_epoch(self, epoch: int, values: Mapping[str, Any]) -> None:
        """Shows a whole epoch, in a line that stays.

        Args:
            epoch: counted from 0.
            values: as `update` takes them.
        """
        line = f"Epoch {epoch + 1}/{self.epochs}: {_told(values)}"
        print(f"\r{line:<{self._width}}" if self._width else line, flush=True)
        self._width = 0

    def _left(self, now: float, done: int) -> str:
        if self.steps is None or self._start is None or done <= self._start[1]:
            return ""
        pace = (now - self._start[0]) / (done - self._start[1])
        left = tqdm.format_interval(pace * (self.epochs * self.steps - done))
        return f"{left} left"

    def _bar(self, epoch: int, batch: int, told: str) -> str:
        title = f"Epoch {epoch + 1}/{self.epochs}"
        if self.steps is None:
            return f"{title}: {batch:,} steps, {told}"
        behind = f"{batch:,}/{self.steps:,}, {told}"
        form = f"{title} {{percentage:3.0f}}%|{{bar:20}}| {behind}"
        return tqdm.format_meter(batch, self.steps, 0, bar_format=form)


def _told(values: Mapping[str, Any]) -> str:
    return ", ".join(
        value if isinstance(value, str) else f"{name} {_rounded(value)}"
        for name, value in values.items()
        if value is not None
    )


def _rounded(value: float) -> str:
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e6 or value == 0 else f"{value:.3e}"
