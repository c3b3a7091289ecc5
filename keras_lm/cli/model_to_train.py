"""The model of `keras-lm finetune`: what of it trains, and whose answers it learns from."""

import argparse
from typing import Any

from keras_lm import training
from keras_lm.checkpoints import load
from keras_lm.cli.task_columns import LABELLED
from keras_lm.data.fingerprint import fingerprint
from keras_lm.tasks import TASKS, Task
from keras_lm.tasks.target_task import TargetTask
from keras_lm.training.layer_rates import layer_rates


def teacher_of(options: argparse.Namespace) -> Any:
    """Loads the model of `--teacher`; None without it.

    Raises:
        ValueError: it is for another task; or see `keras_lm.load`.
    """
    if options.teacher is None:
        return None
    given = {} if options.dtype is None else {"dtype": options.dtype}
    teacher: Any = load(options.teacher, **given)
    kind: Any = TASKS[options.task]
    if not isinstance(teacher, kind):
        raise ValueError(
            f"--teacher must be fine-tuned for {options.task}, as keras-lm finetune does. "
            f"Received: {options.teacher}, a {type(teacher).__name__}"
        )
    teacher.require_tokenizer("--teacher")
    return teacher


def task_of(options: argparse.Namespace, teacher: Any = None) -> Any:
    """Loads a model and gives it the task's head; that of the same task goes on being trained.

    Args:
        options: as `keras_lm.cli.finetune` has them, checked.
        teacher: whose labels a new head gets where none are given; or None.

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
        model = kind(model, **_head(options, teacher))
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
    return model


def longest_row(model: Any, teacher: Any, max_length: int | None) -> int:
    """How many tokens can be read.

    Raises:
        ValueError: `max_length` is more.
    """
    both = [model] if teacher is None else [model, teacher]
    longest = min(each.max_length for each in both)
    if max_length is not None and max_length > longest:
        whose = "the model's" if teacher is None else "the model's and the teacher's"
        raise ValueError(f"--max-length must be in 1 .. {longest}, {whose}. Received: {max_length}")
    return longest


def say_what_trains(model: Any, options: argparse.Namespace) -> None:
    """Freezes what shall stay, or adds adapters; see `--freeze-blocks`, `--layer-decay`, `--lora`.

    Raises:
        ValueError: the model has fewer blocks, or none that trains; see `add_lora`.
    """
    if options.lora is not None:
        targets = options.lora_targets
        chosen = {} if targets is None else {"targets": [t.strip() for t in targets.split(",")]}
        model.add_lora(rank=options.lora, alpha=options.lora_alpha, **chosen)
    elif options.freeze_embeddings or options.freeze_blocks is not None:
        model.freeze(embeddings=options.freeze_embeddings, blocks=options.freeze_blocks or 0)
    if options.layer_decay is not None:
        layer_rates([weight.path for weight in model.trainable_weights], options.layer_decay)


def trained(model: Any, teacher: Any, options: argparse.Namespace) -> Any:
    """Compiles what is to be trained: the model, or with a teacher a `Distillation` of it.

    To be called in the scope of the strategy of both.

    Raises:
        ValueError: the teacher has other labels, tokens or sizes than the model can learn from.
    """
    objective = {} if options.objective is None else {"objective": options.objective}
    rates = {"learning_rate": options.learning_rate, "layer_decay": options.layer_decay}
    if teacher is None:
        model.compile(**rates, **objective)
        return model
    if fingerprint(model.tokenizer) != fingerprint(teacher.tokenizer):
        raise ValueError(
            "A teacher reads the same ids, so it must have the model's tokenizer. "
            f"Received: {options.teacher} with another one than {options.model}"
        )
    if objective:
        model.compile(**objective)  # Of its own part of the loss.
    named = ("temperature", "soft", "vector_loss")
    given = {name: getattr(options, name) for name in named if getattr(options, name) is not None}
    distillation = training.Distillation(model, teacher, **given)
    distillation.compile(**rates)
    return distillation


def _head(options: argparse.Namespace, teacher: Any) -> dict[str, Any]:
    """The arguments of a new head."""
    if options.task not in LABELLED:
        return {}
    if options.labels is None and teacher is not None:
        known = {"labels": teacher.labels, "problem": getattr(teacher, "problem", None)}
        return {name: value for name, value in known.items() if value is not None}
    if options.labels is None:
        raise ValueError(
            "A new head needs --labels, the names of its classes in their order: a file has no say "
            "in it. Received: none"
        )
    problem = {} if options.problem is None else {"problem": options.problem}
    return {"labels": options.labels, **problem}
