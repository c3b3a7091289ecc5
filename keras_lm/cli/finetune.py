"""Fine-tune a model for a task, from a labelled file to a Hugging Face directory."""

import argparse
import pathlib

from keras_lm.cli.task_columns import COLUMNS, LABELLED, read_columns

_PROBLEMS = ("single_label", "multi_label", "regression")
_OBJECTIVES = ("ranking", "cosine", "triplet")
_TARGETS = ("translation", "summarization")
_BY_ROWS = tuple(task for task in COLUMNS if task not in _TARGETS)
# Options that not every task has.
_ONLY = {
    "labels": LABELLED,
    "labels_file": LABELLED,
    "problem": ("text_classification",),
    "objective": ("text_embedding",),
    "vector_loss": ("text_embedding",),
    "class_weights": ("text_classification",),
    "batch_size": _BY_ROWS,
    "tokens_per_batch": _TARGETS,
}
# Options that say how another one is done.
_NEEDS = {
    "lora_alpha": "lora",
    "lora_targets": "lora",
    "temperature": "teacher",
    "soft": "teacher",
    "vector_loss": "teacher",
}
_WHERE = {"lora": "RANK", "teacher": "MODEL"}
_COUNTS = (
    "epochs",
    "batch_size",
    "tokens_per_batch",
    "max_length",
    "freeze_blocks",
    "lora",
    "patience",
)
# Above the first number, at most the second.
_POSITIVE = (0.0, float("inf"), "positive")
_RANGES = {
    "learning_rate": _POSITIVE,
    "layer_decay": (0.0, 1.0, "above 0 and at most 1"),
    "lora_alpha": _POSITIVE,
    "temperature": _POSITIVE,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("model", help="what keras_lm.load takes: a path or a name")
    parser.add_argument("--task", required=True, choices=tuple(COLUMNS))
    parser.add_argument(
        "--train",
        required=True,
        help="the file: .csv, .tsv, .jsonl; of tags CoNLL's, of questions SQuAD's; see docs",
    )
    parser.add_argument("--validation", help="a file of the same kind, for figures")
    parser.add_argument("--out", required=True, help="the directory to write; must not exist")
    parser.add_argument("--labels", help='names of the classes, class 0 first: "negative,positive"')
    parser.add_argument("--labels-file", help="the same, a name a line")
    parser.add_argument("--problem", choices=_PROBLEMS, help="of texts; default: single_label")
    parser.add_argument(
        "--objective",
        choices=_OBJECTIVES,
        help="of embeddings, see docs/embeddings.md; default: ranking",
    )
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="NAME=COLUMN",
        help="what a column is called in the files, such as text=review; repeatable",
    )
    parser.add_argument("--epochs", type=int, default=3, help="default: 3")
    parser.add_argument("--batch-size", type=int, help="rows; default: 32")
    parser.add_argument(
        "--tokens-per-batch", type=int, help="of translations and summaries; default: 4096"
    )
    parser.add_argument("--max-length", type=int, help="tokens of a text that are read")
    parser.add_argument("--learning-rate", type=float, help="the highest; default: 5e-5")
    parser.add_argument(
        "--layer-decay",
        type=float,
        help="each block has so many times the learning rate of the one above; default: 1",
    )
    parser.add_argument(
        "--freeze-embeddings", action="store_true", help="token and position tables do not train"
    )
    parser.add_argument(
        "--freeze-blocks", type=int, metavar="NUMBER", help="so many blocks, the lowest, do not"
    )
    parser.add_argument("--lora", type=int, metavar="RANK", help="train and save adapters alone")
    parser.add_argument("--lora-alpha", type=float, help="of their scale; default: RANK")
    parser.add_argument("--lora-targets", help="what gets adapters; default: query,value")
    parser.add_argument(
        "--teacher",
        metavar="MODEL",
        help="a model fine-tuned for the task, whose answers are learnt beside the labels",
    )
    parser.add_argument("--temperature", type=float, help="of both models' answers; default: 2")
    parser.add_argument("--soft", type=float, help="the teacher's share of the loss; default: 0.5")
    parser.add_argument(
        "--vector-loss",
        choices=("squared_error", "cosine"),
        help="of embeddings, how far from the teacher's they are; default: squared_error",
    )
    parser.add_argument("--class-weights", choices=("balanced",), help="rare classes weigh more")
    parser.add_argument(
        "--bad-rows",
        choices=("raise", "drop"),
        help="drop: leave out, and list, rows without text or label; default: raise",
    )
    parser.add_argument(
        "--patience",
        type=int,
        help="stop when --monitor was no better for so many epochs, and keep the best weights",
    )
    parser.add_argument(
        "--monitor",
        metavar="FIGURE",
        help="loss, or a figure that keras-lm evaluate prints, such as macro_f1; default: loss",
    )
    parser.add_argument(
        "--strategy",
        choices=("one_device", "mirrored"),
        default="one_device",
        help="mirrored: all GPUs of this process, each with a part of every batch",
    )
    parser.add_argument("--dtype", help="of the model, such as mixed_bfloat16")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument(
        "--verbose", type=int, choices=(0, 1, 2), default=1, help="as of fit; default: 1"
    )


def run(options: argparse.Namespace) -> int:
    """Trains; prints figures of the validation file, and the directory."""
    options.columns = read_columns(options.task, options.column, COLUMNS[options.task].named)
    options.labels = check(options)
    from keras_lm.cli.evaluate import lines_of
    from keras_lm.cli.finetuning import finetune  # TensorFlow takes seconds to import.

    figures = finetune(options)
    for line in lines_of(figures):
        print(line)
    print(options.out)
    return 0


def check(options: argparse.Namespace) -> list[str] | None:
    """Refuses what cannot be, before anything is loaded; gives the labels, or None.

    Raises:
        FileNotFoundError: a file is missing.
        FileExistsError: the directory is there.
        ValueError: an option that the task does not have, or a number out of range.
    """
    for name, tasks in _ONLY.items():
        if getattr(options, name) is not None and options.task not in tasks:
            raise ValueError(
                f"{_flag(name)} is for {', '.join(tasks)}. Received: --task {options.task}"
            )
    for name, other in _NEEDS.items():
        if getattr(options, name) is not None and getattr(options, other) is None:
            raise ValueError(f"{_flag(name)} needs {_flag(other)} {_WHERE[other]}. Received: none")
    for name in _COUNTS:
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"{_flag(name)} must be positive. Received: {value}")
    for name, (least, most, rule) in _RANGES.items():
        value = getattr(options, name)
        if value is not None and not (least < value < float("inf") and value <= most):
            raise ValueError(f"{_flag(name)} must be {rule}. Received: {value}")
    if options.soft is not None and not 0 <= options.soft <= 1:
        raise ValueError(f"--soft must be in 0 .. 1. Received: {options.soft}")
    frozen = options.freeze_embeddings or options.freeze_blocks is not None
    if options.lora is not None and frozen:
        raise ValueError(
            "--lora freezes all but the adapters and the head. Received: --freeze-embeddings or "
            "--freeze-blocks, too"
        )
    if options.patience is not None and options.validation is None:
        raise ValueError("--patience needs --validation FILE. Received: none")
    if options.monitor is not None and options.patience is None:
        raise ValueError(
            f"--monitor needs --patience EPOCHS. Received: --monitor {options.monitor}"
        )
    for name in ("train", "validation", "labels_file"):
        file = getattr(options, name)
        if file is not None and not pathlib.Path(file).is_file():
            raise FileNotFoundError(f"{_flag(name)} must be a file. Received: {file!r}")
    if pathlib.Path(options.out).exists():
        raise FileExistsError(f"--out must not exist yet. Received: {options.out!r}")
    return _labels(options)


def _labels(options: argparse.Namespace) -> list[str] | None:
    if options.labels is not None and options.labels_file is not None:
        raise ValueError("Give --labels or --labels-file. Received: both")
    if options.labels_file is not None:
        try:
            text = pathlib.Path(options.labels_file).read_text("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"--labels-file must be UTF-8. Received: {options.labels_file!r}, where byte "
                f"{error.start} is 0x{error.object[error.start]:02x}"
            ) from None
        names = [line.strip() for line in text.split("\n") if line.strip()]
    elif options.labels is not None:
        names = [name.strip() for name in options.labels.split(",")]
    else:
        return None
    if not names or not all(names) or len(set(names)) < len(names):
        raise ValueError(f"Labels must be different names. Received: {', '.join(names)!r:.200}")
    return names


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
