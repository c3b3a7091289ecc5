"""What is known of where a model comes from: its data, its trainings, its scores.

`fit` and `evaluate` write it down, files of models keep it, and the model's card says it. Knows no
card. What is not noted here is not known here: weights that were set by hand, trainings elsewhere.
"""

import contextlib
import dataclasses
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.training.keras_overrides import layers_of

# Attributes of the pipelines of `keras_lm.data`, and what a card calls them.
COUNTED = {
    "num_cut": "of them without their end",
    "num_too_long": "of them too long to be learnt as they are",
    "dropped": "left out",
}

_NAMED_FILES = 8  # A corpus may have thousands.


@dataclasses.dataclass(frozen=True)
class Training:
    """One call of `fit`.

    Attributes:
        model: name of the class that was trained.
        data: the names of the files, without their folders; None where they are not known.
        rows: of the data; None where it is not known.
        epochs: how many were finished; None where it broke off.
        counts: what else was counted, by name.
        settings: what it was asked for, by name.
    """

    model: str
    data: str | None = None
    rows: int | None = None
    epochs: int | None = None
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Scores:
    """One evaluation.

    Attributes:
        data: the names of the files; None where they are not known.
        figures: by name: numbers, texts, and None for what is no number.
        note: what must be known of them, a sentence.
    """

    data: str | None
    figures: Mapping[str, Any]
    note: str | None = None


@dataclasses.dataclass(frozen=True)
class Provenance:
    """What is known of a model; `model.provenance`.

    Attributes:
        source: what it was loaded from before it was trained here, as the user named it.
        trainings: in their order.
        scores: of the weights as they are, one for each data set.
    """

    source: str | None = None
    trainings: tuple[Training, ...] = ()
    scores: tuple[Scores, ...] = ()

    def with_training(self, training: Training) -> "Provenance":
        """Adds a training; the scores were those of other weights, so they go."""
        return dataclasses.replace(self, trainings=(*self.trainings, training), scores=())

    def with_scores(self, scores: Scores) -> "Provenance":
        """Adds scores, in the place of those of the same data."""
        plain = {name: _plain(value) for name, value in scores.figures.items()}
        others = [known for known in self.scores if known.data != scores.data]
        return dataclasses.replace(
            self, scores=(*others, dataclasses.replace(scores, figures=plain))
        )

    def as_json(self) -> dict[str, Any]:
        """Gives what JSON can hold, without what is not known; `{}` where that is nothing."""
        said = {
            "source": self.source,
            "trainings": [_said(training) for training in self.trainings],
            "scores": [_said(scores) for scores in self.scores],
        }
        return {name: value for name, value in said.items() if value}

    @classmethod
    def from_json(cls, said: Any) -> "Provenance":
        """Reads what `as_json` gave; what does not look like it is nothing that is known."""
        try:
            return cls(
                said.get("source"),
                tuple(Training(**training) for training in said.get("trainings", ())),
                tuple(Scores(**scores) for scores in said.get("scores", ())),
            )
        except (AttributeError, TypeError):
            return cls()


def _said(item: Any) -> dict[str, Any]:
    values = {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
    return {
        name: dict(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if value not in (None, {}) or name in ("data", "figures")
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if tf.is_tensor(value):  # as Keras's metrics are
        value = value.numpy()
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def data_name(files: Any) -> str | None:
    """The names of files, without their folders; None of what is no file.

    Of many files the first few are named, and the others counted.
    """
    if isinstance(files, str | os.PathLike):
        return os.path.basename(os.fspath(files)) or None
    if isinstance(files, list | tuple) and all(isinstance(f, str | os.PathLike) for f in files):
        names = [os.path.basename(os.fspath(file)) for file in files]
        rest = len(names) - _NAMED_FILES
        more = f" and {rest:,} more" if rest > 0 else ""
        return (", ".join(names[:_NAMED_FILES]) + more) or None
    return None


def training_on(model: Any, data: Any, epochs: int | None) -> Training:
    """What there is to say of a training.

    Args:
        model: that was trained.
        data: what `fit` was given as `x`.
        epochs: how many were finished; None where it broke off.
    """
    rows = getattr(data, "num_rows", None)
    first = next(iter(data.values()), None) if isinstance(data, Mapping) else data
    if rows is None and isinstance(first, np.ndarray) and first.ndim:
        rows = len(first)
    counts = {
        said: len(value) if isinstance(value, list) else int(value)
        for name, said in COUNTED.items()
        if (value := getattr(data, name, None)) is not None
    }
    return Training(
        type(model).__name__,
        data_name(getattr(data, "files", None)),
        None if rows is None else int(rows),
        epochs,
        counts,
    )


@dataclasses.dataclass
class _Noted:
    epochs: int | None = None


class HasProvenance:
    """For models: what is known of them, an attribute that can be set."""

    @property
    def provenance(self) -> Provenance:
        """What is known of the data and the scores."""
        return self.__dict__.get("_provenance", Provenance())

    @provenance.setter
    def provenance(self, provenance: Provenance) -> None:
        if not isinstance(provenance, Provenance):
            raise ValueError(
                f"provenance must be a Provenance. Received: {type(provenance).__name__}"
            )
        # Not an attribute of Keras's: it would look into it for layers.
        self.__dict__["_provenance"] = provenance

    @contextlib.contextmanager
    def noting_training(self, data: Any) -> Iterator["_Noted"]:
        """Writes down what `fit` does within, of the model and of models in it (ELECTRA's two).

        Args:
            data: what `fit` was given as `x`.

        Yields:
            What to tell the number of epochs; of a training that breaks off it is not known.
        """
        noted = _Noted()
        self.__dict__["_is_fitting"] = True
        try:
            yield noted
        finally:
            self.__dict__["_is_fitting"] = False
            training = training_on(self, data, noted.epochs)
            for model in layers_of(self, HasProvenance):
                model.provenance = model.provenance.with_training(training)

    def note_scores(
        self, figures: Mapping[str, Any], data: str | None, note: str | None = None
    ) -> None:
        """Writes down what an evaluation found, but for those that `fit` makes itself.

        Args:
            figures: see `Scores`.
            data: see there.
            note: see there.
        """
        if not self.__dict__.get("_is_fitting"):
            self.provenance = self.provenance.with_scores(Scores(data, figures, note))
