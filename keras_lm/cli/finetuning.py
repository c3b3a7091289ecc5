"""What `keras-lm finetune` does: a model and files to a directory that is whole or not there."""

import argparse
import contextlib
import dataclasses
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import keras

from keras_lm import data, training
from keras_lm.checkpoints import load, save
from keras_lm.cli.stopping import stopping
from keras_lm.cli.task_columns import COLUMNS, LABELLED
from keras_lm.data.table_rows import open_rows
from keras_lm.tasks import TASKS, Task, evaluate
from keras_lm.tasks.target_task import TargetTask
from keras_lm.tasks.text_figures import summary_figures, translation_figures
from keras_lm.training.provenance import data_name

_CHOSEN = "The epoch was chosen by this file: of other texts they may be lower."
_LENGTHS = {"summarization": 512, "question_answering": 384}  # Where nothing is said: 128.
_TARGET_LENGTH = 128
_SHOWN = 20  # Of pairs that are too long there may be very many.
_BATCH_SIZE, _TOKENS_PER_BATCH = 32, 4096
# Figures that other packages count.
_COUNTED = {"translation": translation_figures, "summarization": summary_figures}
_SETTINGS = (
    "epochs",
    "max_length",
    "lora",
    "objective",
    "class_weights",
    "patience",
    "monitor",
    "dtype",
    "seed",
)


def finetune(options: argparse.Namespace) -> dict[str, Any]:
    """Trains and saves.

    Args:
        options: as `keras_lm.cli.finetune` has them, checked, with `columns` and `labels`.

    Returns:
        What `keras_lm.evaluate` says of the validation file; nothing without one.

    Raises:
        ImportError: figures are wanted of a package that is not installed.
        ValueError: a row, a column, a label or a model that does not fit, with its place.
        OSError: the directory cannot be written.
    """
    strategy = training.strategy(options.strategy)
    if options.validation is not None and options.task in _COUNTED:
        _COUNTED[options.task](["a"], ["a"])  # What is missing is told before the training.
    files = [file for file in (options.train, options.validation) if file is not None]
    for file in files:  # A header is read sooner than a model.
        learnt = COLUMNS[options.task].learnt
        if learnt:
            next(open_rows(file, None, [options.columns.get(name, name) for name in learnt]), None)
    with _new_directory(pathlib.Path(options.out)) as directory:
        keras.utils.set_random_seed(options.seed)
        with strategy.scope():
            model = task_of(options)
        stop = stopping(model, options)
        if options.lora is not None:
            model.add_lora(rank=options.lora)
        train, *validation = [_batches(model, file, options) for file in files]
        chosen = {} if options.objective is None else {"objective": options.objective}
        model.compile(learning_rate=options.learning_rate, **chosen)
        model.fit(
            train,
            epochs=options.epochs,
            validation_data=validation[0] if validation else None,
            callbacks=stop,
            verbose=options.verbose,
        )
        _note_training(model, options)
        figures: dict[str, Any] = {}
        # Of embeddings they are correlations with scores.
        if validation and (options.task != "text_embedding" or options.objective == "cosine"):
            figures = evaluate(model, options.validation, verbose=0, **options.columns)
            if options.patience is not None:
                model.note_scores(figures, data_name(options.validation), _CHOSEN)
        save(model, directory)
    return figures


def task_of(options: argparse.Namespace) -> Any:
    """Loads a model and gives it the task's head; that of the same task goes on being trained.

    Raises:
        ValueError: labels are missing or other than those of the head that is there, another
            problem than its, or a model without tokenizer; or see `keras_lm.load` and the task.
    """
    kind = TASKS[options.task]
    given = {} if options.dtype is None else {"dtype": options.dtype}
    model: Any = load(options.model, **given)
    if not isinstance(model, kind):
        if isinstance(model, Task):
            beneath = "seq2seq" if issubclass(kind, TargetTask) else "backbone"
            model = load(options.model, beneath, **given)
        model = kind(model, **_head(options))
        model.build()
    for name in ("labels", "problem"):
        wanted, own = getattr(options, name), getattr(model, name, None)
        own = list(own) if isinstance(own, tuple) else own
        if wanted not in (None, own):
            raise ValueError(
                f"The model goes on with the {name} that it has, {own!r:.200}. "
                f"Received: --{name} {wanted!r:.200}"
            )
    model.require_tokenizer("finetune")
    source = getattr(getattr(model, "companions", None), "source", None)
    if options.lora is not None and source is None:
        raise ValueError(
            "Adapters name the directory of the model beneath: --lora needs one, see keras-lm "
            f"convert. Received: {options.model}"
        )
    if options.max_length is not None and options.max_length > model.max_length:
        raise ValueError(
            f"--max-length must be in 1 .. {model.max_length}, the model's. "
            f"Received: {options.max_length}"
        )
    return model


def _head(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of a new head."""
    if options.task not in LABELLED:
        return {}
    if options.labels is None:
        raise ValueError(
            "A new head needs --labels, the names of its classes in their order: a file has no say "
            "in it. Received: none"
        )
    problem = {} if options.problem is None else {"problem": options.problem}
    return {"labels": options.labels, **problem}


def _batches(model: Any, file: str, options: argparse.Namespace) -> Any:
    """The batches of a file; says what was counted, and lists what was left out."""
    length = options.max_length or min(_LENGTHS.get(options.task, 128), model.max_length)
    common = {"seed": options.seed, **options.columns}
    if options.bad_rows is not None and file == options.train:  # Figures are of whole files.
        common["bad_rows"] = options.bad_rows
    found: Any
    if isinstance(model, TargetTask):
        make = getattr(data, options.task)
        found = make(
            file,
            model.tokenizer,
            tokens_per_batch=options.tokens_per_batch or _TOKENS_PER_BATCH,
            max_source_length=length,
            max_target_length=min(_TARGET_LENGTH, model.max_length),
            decoder_start=model.start_ids,
            drop_remainder=False,
            **common,
        )
        counts = {"pairs too long": found.num_too_long}
    else:
        common |= {"batch_size": options.batch_size or _BATCH_SIZE, "sequence_length": length}
        if options.task == "text_classification":
            common |= {"labels": model.labels, "problem": model.problem}
            if file == options.train:
                common["class_weights"] = options.class_weights
            found = data.classification(file, model.tokenizer, **common)
        elif options.task == "text_embedding":
            objective = options.objective or model.objective
            found = data.similarity(file, model.tokenizer, objective=objective, **common)
        elif options.task == "question_answering":
            found = data.question_answering(file, model.tokenizer, **common)
        else:
            found = data.tagging(file, model.tokenizer, labels=model.labels, **common)
        counts = {"rows": found.num_rows, "of them without their end": found.num_cut}
    dropped = getattr(found, "dropped", [])
    counts["left out"] = len(dropped)
    said = ", ".join(f"{value:,} {name}" for name, value in counts.items())
    print(f"{file}: {said}", file=sys.stderr)
    for wrong in dropped:
        print(f"  {wrong}", file=sys.stderr)
    too_long = getattr(found, "too_long", [])
    if too_long:
        more = f" and {len(too_long) - _SHOWN:,} more" if len(too_long) > _SHOWN else ""
        print(f"  too long: {', '.join(too_long[:_SHOWN])}{more}", file=sys.stderr)
    return found


def _note_training(model: Any, options: argparse.Namespace) -> None:
    """Adds to what `fit` has noted, for the card."""
    known = model.provenance
    *before, last = known.trainings
    noted = dataclasses.replace(last, settings=_settings(model, options))
    source = known.source if before else options.model
    model.provenance = dataclasses.replace(known, source=source, trainings=(*before, noted))


def _settings(model: Any, options: argparse.Namespace) -> dict[str, Any]:
    """What the training was asked for, by name, defaults too; None: not given."""
    size = {"batch_size": options.batch_size or _BATCH_SIZE}
    if isinstance(model, TargetTask):
        size = {"tokens_per_batch": options.tokens_per_batch or _TOKENS_PER_BATCH}
    rate = {"learning_rate": options.learning_rate or model.LEARNING_RATE}
    given = {name: getattr(options, name) for name in _SETTINGS}
    return {**given, **size, **rate}


@contextlib.contextmanager
def _new_directory(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A directory beside `path`, which becomes it when all went well, and goes when it did not.

    Made before the training, so that a place that cannot be written is known by then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = pathlib.Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield beside
        beside.chmod(0o755)
        beside.rename(path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
