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
    "class_weights": ("text_classification",),
    "batch_size": _BY_ROWS,
    "tokens_per_batch": _TARGETS,
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
    parser.add_argument("--lora", type=int, metavar="RANK", help="train and save adapters alone")
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
    for name in ("epochs", "batch_size", "tokens_per_batch", "max_length", "lora", "patience"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"{_flag(name)} must be positive. Received: {value}")
    if options.learning_rate is not None and not 0 < options.learning_rate < float("inf"):
        raise ValueError(f"--learning-rate must be positive. Received: {options.learning_rate}")
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
        lines = pathlib.Path(options.labels_file).read_text("utf-8").split("\n")
        names = [line.strip() for line in lines if line.strip()]
    elif options.labels is not None:
        names = [name.strip() for name in options.labels.split(",")]
    else:
        return None
    if not names or not all(names) or len(set(names)) < len(names):
        raise ValueError(f"Labels must be different names. Received: {', '.join(names)!r:.200}")
    return names


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
