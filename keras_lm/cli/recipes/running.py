"""A recipe is carried out: tokenizer, data, model, `fit`, and a model file at the end."""

import os
import pathlib
from typing import Any

import keras

from keras_lm import checkpoints, data, tokenizers, training
from keras_lm.cli.recipes import directory
from keras_lm.cli.recipes.checks import missing_files
from keras_lm.cli.recipes.sections import TOKENIZERS, CausalData, model_arguments, model_of
from keras_lm.models import ELECTRAPretrainer, abstract
from keras_lm.training import workers

MODEL, TOKENIZER, CHECKPOINTS = "model.keras", "tokenizer", "checkpoints"
_SCHEDULES = {
    "linear": training.Linear,
    "cosine": training.Cosine,
    "inverse_square_root": training.InverseSquareRoot,
    "constant": training.Constant,
}
_OPTIMIZERS = {"adamw": training.AdamW, "lamb": training.LAMB}


def check(recipe: Any) -> int:
    """Checks what can be known without training: files, directory, and the model's sizes.

    Returns:
        The number of the model's parameters; 0 where its vocabulary is that of a tokenizer.

    Raises:
        ValueError: something is not there; each is a line of the message. Or the directory holds
            another training, or the model's sizes do not fit each other.
    """
    _check_files(recipe)
    return _parameters(recipe)


def _check_files(recipe: Any) -> None:
    lines = missing_files(recipe)
    if lines:
        raise ValueError("\n  ".join(["The recipe's files are not all there:", *lines]))
    directory.compare(recipe)


def _parameters(recipe: Any) -> int:
    arguments = model_arguments(recipe)
    number = abstract(model_of(recipe), **arguments).count_params()
    return number if "vocab_size" in arguments else 0


def run(recipe: Any, verbose: int | str = "auto") -> pathlib.Path:
    """Trains, or goes on with what was begun in the recipe's directory.

    Args:
        recipe: checked.
        verbose: as `fit` takes it.

    Returns:
        The path of the trained model, a `.keras` file: for ELECTRA the discriminator.

    Raises:
        ValueError: see `check`, and what the parts themselves refuse.
        FloatingPointError: a loss was no number.
    """
    _check_files(recipe)
    strategy = training.strategy(recipe.strategy)  # before all else that TensorFlow does
    chief = workers.is_chief(strategy)
    _parameters(recipe)  # sizes that do not fit are told before hours of tokenizing
    keras.utils.set_random_seed(recipe.seed)
    place = pathlib.Path(recipe.directory)
    if chief:
        directory.claim(recipe)
    tokenizer = _tokenizer(recipe, place / TOKENIZER, chief)
    rows = _pipeline(recipe, tokenizer, recipe.data.files)
    held_out = None
    if recipe.data.validation_files is not None:
        held_out = _pipeline(recipe, tokenizer, recipe.data.validation_files, shuffle=False)
    model = _model(recipe, tokenizer, strategy)
    epochs, each = _length(recipe, rows)
    if chief:
        asked = recipe.data
        print(
            f"{type(model).__name__}, {model.count_params():,} parameters, trains for "
            f"{epochs * each:,} steps of {asked.batch_size:,} rows of {asked.sequence_length:,} "
            f"tokens in {place}",
            flush=True,
        )
    model.fit(
        rows,
        epochs=epochs,
        steps_per_epoch=each,
        validation_data=held_out,
        verbose=verbose,
        callbacks=[
            training.Monitor(place, **recipe.monitoring.model_dump()),
            training.Checkpoints(place / CHECKPOINTS, **recipe.checkpoints.model_dump()),
        ],
    )
    if chief:
        _leave(model, place / MODEL)
    workers.agree(strategy, 0)  # no worker ends while another one writes
    return place / MODEL


def _tokenizer(recipe: Any, place: pathlib.Path, chief: bool) -> Any:
    section = recipe.tokenizer
    if section.path is not None:
        return tokenizers.load(section.path)
    if place.exists():
        return tokenizers.load(place, special_tokens="text")
    model = model_of(recipe).__name__
    options = section.model_dump(exclude_none=True)
    made: Any
    if TOKENIZERS[model] == "wordpiece":
        made = tokenizers.train_wordpiece(recipe.data.files, **options)
    else:
        kind = "roberta" if model == "RoBERTa" else "gpt2"
        made = tokenizers.train_byte_bpe(recipe.data.files, kind=kind, **options)
    # Every worker trains the same one, of the same text; the first keeps it.
    if chief:
        beside = place.with_name(f"{place.name}.new")
        made.save(beside)
        os.rename(beside, place)
    return made


def _pipeline(recipe: Any, tokenizer: Any, files: list[str], **options: Any) -> Any:
    asked = recipe.data.model_dump(exclude={"files", "validation_files"})
    make = data.causal_lm if isinstance(recipe.data, CausalData) else data.masked_lm
    source = files[0] if len(files) == 1 else files
    return make(source, tokenizer, seed=recipe.seed, **asked, **options)


def _model(recipe: Any, tokenizer: Any, strategy: Any) -> Any:
    arguments = {"vocab_size": tokenizer.vocab_size, **model_arguments(recipe)}
    asked, rate = recipe.training, recipe.optimizer
    schedule: Any = _SCHEDULES[rate.schedule]
    options: dict[str, Any] = {"total_steps": rate.decay_steps}
    if rate.schedule in ("linear", "cosine"):
        options["end_share"] = rate.end_share
    of_one_kind = {} if rate.layer_decay is None else {"layer_decay": rate.layer_decay}
    with strategy.scope():
        model = model_of(recipe)(**arguments, tokenizer=tokenizer, dtype=asked.precision)
        model.build()
        optimizer = _OPTIMIZERS[rate.name](
            schedule(rate.learning_rate, rate.warmup, **options),
            weight_decay=rate.weight_decay,
            beta_1=rate.beta_1,
            beta_2=rate.beta_2,
            epsilon=rate.epsilon,
            global_clipnorm=rate.clip_norm,
            **of_one_kind,
        )
    if asked.initial_weights is not None:
        _take_weights(model, asked.initial_weights)
    model.compile(
        optimizer,
        gradient_accumulation_steps=asked.gradient_accumulation_steps,
        recompute=asked.recompute,
        steps_per_execution=asked.steps_per_execution,
        jit_compile=asked.xla,
        label_smoothing=asked.label_smoothing,
        sampled_softmax=asked.sampled_softmax,
    )
    return model


def _take_weights(model: Any, path: str) -> None:
    there = checkpoints.load(path)
    for mine, other in zip(model.weights, there.weights, strict=False):
        # The first part of a path is the model's own name, which Keras numbers.
        if _inside(mine) != _inside(other) or mine.shape != other.shape:
            break
    else:
        if len(model.weights) == len(there.weights):
            model.set_weights(there.get_weights())
            return
        mine, other = model.weights[-1], there.weights[-1]
    raise ValueError(
        "training.initial_weights must be of a model of the same sizes and heads. "
        f"Received: {path}, {_inside(other)} {tuple(other.shape)} in the place of {_inside(mine)} "
        f"{tuple(mine.shape)}"
    )


def _inside(weight: Any) -> str:
    return weight.path.partition("/")[2]


def _length(recipe: Any, rows: Any) -> tuple[int, int]:
    """Returns how many epochs of how many steps."""
    asked = recipe.training
    each = asked.steps_per_epoch or asked.steps or rows.steps_per_epoch
    return (asked.steps // each if asked.steps else asked.epochs), each


def _leave(model: Any, path: pathlib.Path) -> None:
    kept = model.discriminator if isinstance(model, ELECTRAPretrainer) else model
    beside = path.with_name(f"new-{path.name}")
    kept.save(beside)
    os.replace(beside, path)
