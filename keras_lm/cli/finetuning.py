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
from keras_lm.checkpoints import save
from keras_lm.cli.model_to_train import (
    longest_row,
    say_what_trains,
    task_of,
    teacher_of,
    trained,
)
from keras_lm.cli.stopping import stopping
from keras_lm.cli.task_columns import COLUMNS
from keras_lm.data.table_rows import open_rows
from keras_lm.tasks import evaluate
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
    "freeze_embeddings",
    "freeze_blocks",
    "layer_decay",
    "lora",
    "lora_alpha",
    "lora_targets",
    "temperature",
    "soft",
    "vector_loss",
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
            teacher = teacher_of(options)
            model = task_of(options, teacher)
            longest = longest_row(model, teacher, options.max_length)
            stop = stopping(model, options)
            say_what_trains(model, options)
            learner = trained(model, teacher, options)
        train, *validation = [_batches(model, file, options, longest) for file in files]
        learner.fit(
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


def _batches(model: Any, file: str, options: argparse.Namespace, longest: int) -> Any:
    """The batches of a file; says what was counted, and lists what was left out."""
    length = options.max_length or min(_LENGTHS.get(options.task, 128), longest)
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
            max_target_length=min(_TARGET_LENGTH, longest),
            decoder_start=model.start_ids,
            drop_remainder=False,
            **common,
        )
        behind = "left out" if options.task == "translation" else "without their end"
        counts = {"pairs": found.num_rows, f"of them too long and {behind}": found.num_too_long}
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
    counts["bad and left out" if isinstance(model, TargetTask) else "left out"] = len(dropped)
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
    given["freeze_embeddings"] = options.freeze_embeddings or None
    if options.teacher is not None:
        given["teacher"] = pathlib.Path(options.teacher).name
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
