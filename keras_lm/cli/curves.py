"""Curves of trainings: CSV logs in, one figure out. Knows nothing of models.

A log is what `keras_lm.training.Monitor` writes, or any CSV file with a column `step` or `epoch`,
such as that of `keras.callbacks.CSVLogger`.
"""

import csv
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

_STEPS, _EPOCHS = "steps.csv", "epochs.csv"
_SUMMED = ("tokens", "seconds")
_TITLES = {
    "loss": "Loss",
    "learning_rate": "Learning rate",
    "gradient_norm": "Gradient norm",
    "tokens_per_second": "Tokens per second",
    "flops_utilization": "Model FLOPs utilization",
}
_AXES = {
    "step": "step",
    "epoch": "epoch",
    "tokens": "tokens read",
    "seconds": "seconds of training",
}
_PANEL, _ACROSS = (6.0, 4.2), 3  # inches; panels side by side
_SMOOTH_SHARE = 50


class Run(NamedTuple):
    """A training.

    Attributes:
        path: as the user named it.
        steps: rows of steps, float arrays by column; nan where there is none.
        epochs: rows of epochs, with validation as `val_...`; empty where there is no such file.
    """

    path: str
    steps: dict[str, np.ndarray]
    epochs: dict[str, np.ndarray]


def read_run(path: str | os.PathLike) -> Run:
    """Reads the logs of a training.

    Args:
        path: a directory with `steps.csv`, or a CSV file.

    Raises:
        FileNotFoundError: it is not there, or has no `steps.csv`.
        ValueError: it is no CSV file of numbers with rows and a column `step` or `epoch`.
    """
    place = pathlib.Path(path)
    file = place / _STEPS if place.is_dir() else place
    if not file.is_file():
        raise FileNotFoundError(
            f"A run is a directory with {_STEPS}, or a CSV file. Received: {os.fspath(path)!r}"
        )
    steps = _read(file)
    beside = file.with_name(_EPOCHS)
    epochs = _read(beside) if file.name == _STEPS and beside.is_file() else {}
    if not epochs and any(name.startswith("val_") for name in steps):
        epochs = steps  # a row for each epoch, training and validation in one
    return Run(os.fspath(path), steps, epochs)


def _read(file: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            names, *rows = [row for row in csv.reader(lines) if row] or [[]]
    except UnicodeDecodeError:
        names, rows = [], []
    rows = [row for row in rows if len(row) == len(names)]  # not the line that is being written
    if not {"step", "epoch"} & set(names) or not rows:
        raise ValueError(
            "A log is a CSV file with rows and a column step or epoch. "
            f"Received: {file}, {len(rows)} rows, columns {','.join(names)!r:.80}"
        )
    values = np.array([[_number(text) for text in row] for row in rows])
    return dict(zip(names, values.T, strict=True))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def draw(
    runs: Sequence[Run],
    out: str | os.PathLike,
    *,
    columns: Sequence[str] | None = None,
    x: str = "step",
    smooth: int | None = None,
) -> pathlib.Path:
    """Draws a panel for each column, with a colour for each run, and writes a PNG.

    Validation is dashed, with a dot for each epoch, in the panel and the colour of what it
    validates. Behind smoothed curves the rows themselves are drawn faintly. A metric, which a row
    of a step has as the mean since its epoch began, is drawn by epochs where there are several.

    Args:
        runs: of `read_run`.
        out: the file; its directory must be there.
        columns: names of columns. None: the loss, what is called accuracy, the learning rate.
        x: "step", "epoch", "tokens" or "seconds".
        smooth: how many rows a point is the mean of. None: a fiftieth of the run's rows.

    Returns:
        The path of the file.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: no run has a column, or one has none for `x`; `smooth` below 1.
    """
    if smooth is not None and smooth < 1:
        raise ValueError(f"smooth must be a positive number of rows. Received: smooth={smooth}")
    known = list(dict.fromkeys(name for run in runs for name in (*run.steps, *run.epochs)))
    columns = _usual(known) if columns is None else columns
    missing = [name for name in columns if name not in known]
    if missing or not columns:
        raise ValueError(
            f"columns must be out of {', '.join(known)}. Received: {', '.join(missing) or 'none'}"
        )
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError('Curves need matplotlib: pip install "keras_lm[plot]"') from None

    across = min(len(columns), _ACROSS)
    down = -(-len(columns) // across)
    figure = Figure((_PANEL[0] * across, _PANEL[1] * down + 0.6), layout="constrained")
    names = _short([run.path for run in runs])
    labels = names if len(runs) > 1 else ["training"]
    for place, column in enumerate(columns, 1):
        axes = figure.add_subplot(down, across, place)
        for number, (run, name) in enumerate(zip(runs, labels, strict=True)):
            _curve(axes, run, column, x, f"C{number % 10}", name, smooth)
        axes.set_title(_TITLES.get(column, column.replace("_", " ").capitalize()))
        axes.set_xlabel(_AXES[x])
        axes.set_ylabel(column.replace("_", " "))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        if column == "learning_rate":
            axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.suptitle(names[0] if len(names) == 1 else f"{len(names)} trainings")
    path = pathlib.Path(out)
    beside = path.with_name(f"{path.name}.new")
    try:
        figure.savefig(beside, format="png", dpi=120)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def _usual(known: list[str]) -> list[str]:
    found = [name for name in known if name == "loss"]
    found += [n for n in known if n.endswith("accuracy") and not n.startswith("val_")]
    return found + [name for name in known if name == "learning_rate"]


def _short(paths: list[str]) -> list[str]:
    """Names of runs without the directories that they all share."""
    parts = [pathlib.PurePath(path).parts for path in paths]
    shared = 0
    while len({part[: shared + 1] for part in parts}) == 1 < len(parts) and all(
        len(part) > shared + 1 for part in parts
    ):
        shared += 1
    return [str(pathlib.PurePath(*part[shared:])) for part in parts]


def _curve(
    axes: Any, run: Run, column: str, x: str, color: str, name: str, smooth: int | None
) -> None:
    by_epochs = column != "loss" and len(run.epochs.get(column, ())) > 1
    if by_epochs:
        place, value = _points(_along(run, run.epochs, x), run.epochs[column])
        axes.plot(place, value, "-o", color=color, label=name, markersize=4, linewidth=1.6)
    elif column in run.steps:
        place, value = _points(_along(run, run.steps, x), run.steps[column])
        width = max(1, len(value) // _SMOOTH_SHARE) if smooth is None else smooth
        if column == "learning_rate":
            width = 1
        if width > 1:
            axes.plot(place, value, color=color, alpha=0.2, linewidth=0.8)
            place, value = _means(place, value, width)
        axes.plot(place, value, color=color, label=name, linewidth=1.6)
    validated = f"val_{column}"
    if validated in run.epochs:
        place, value = _points(_along(run, run.epochs, x), run.epochs[validated])
        label = "validation" if name == "training" else f"{name}, validation"
        axes.plot(place, value, "--o", color=color, label=label, markersize=4, linewidth=1.2)


def _along(run: Run, rows: dict[str, np.ndarray], x: str) -> np.ndarray:
    """Where the rows stand on the axis."""
    wanted = x if x in run.steps or x != "step" else "epoch"  # a log of epochs alone
    if wanted not in run.steps:
        raise ValueError(
            f"A run that is drawn over {x} has a column {x}. "
            f"Received: {run.path}, with {', '.join(run.steps)}"
        )
    if rows is run.steps:
        values = rows[wanted]
        return np.nancumsum(values) if wanted in _SUMMED else values
    if wanted in rows:
        return rows[wanted]
    return np.interp(rows["step"], run.steps["step"], np.nancumsum(run.steps[wanted]))


def _points(place: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    there = np.isfinite(place) & np.isfinite(value)
    return place[there], value[there]


def _means(place: np.ndarray, value: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Running means of `width` rows, each where the last of them stands."""
    total = np.cumsum(np.insert(value, 0, 0.0))
    means = (total[width:] - total[:-width]) / width
    return place[width - 1 :], means
