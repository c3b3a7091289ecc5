"""Answer the texts of a file with a fine-tuned model, an object of JSON for each."""

import argparse
import contextlib
import itertools
import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

_CHUNK = 16  # Batches that are sorted by length together; their answers are written then.


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("model", help="what keras-lm finetune or keras_lm.save wrote")
    parser.add_argument(
        "file",
        nargs="?",
        help=".csv, .tsv or .jsonl with named columns, of questions SQuAD's .json; any other: "
        "a text a line",
    )
    parser.add_argument("--text", action="append", help="a text in place of a file; repeatable")
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="NAME=COLUMN",
        help="what a column is called in the file, such as text=review; repeatable",
    )
    parser.add_argument("--out", help="a file of JSONL, which must not exist; default: print")
    parser.add_argument("--batch-size", type=int, default=32, help="default: 32")


def run(options: argparse.Namespace) -> int:
    """Answers, in the order of the file, some batches at a time."""
    if (options.file is None) == (options.text is None):
        both = "neither" if options.file is None else "both"
        raise ValueError(f"predict takes a file or --text. Received: {both}")
    if options.batch_size < 1:
        raise ValueError(f"--batch-size must be positive. Received: {options.batch_size}")
    if options.file is not None and not pathlib.Path(options.file).is_file():
        raise FileNotFoundError(f"predict takes a file, or --text. Received: {options.file!r}")
    out = None if options.out is None else pathlib.Path(options.out)
    if out is not None and out.exists():
        raise FileExistsError(f"--out must not exist yet. Received: {options.out!r}")
    if out is not None and not out.parent.is_dir():
        raise FileNotFoundError(
            f"--out must be in a directory that exists. Received: {options.out!r}"
        )
    from keras_lm.cli.answer_bar import AnswerBar
    from keras_lm.cli.asked_rows import asked_rows  # TensorFlow takes seconds to import.
    from keras_lm.cli.fine_tuned import answers_of, load_fine_tuned

    task, model = load_fine_tuned(options.model)

    def rows() -> Iterator[dict[str, str]]:
        return asked_rows(task, options.file, options.text, options.column)

    number = sum(1 for _ in rows())  # What is wrong with the last row is said before the first.
    with (
        contextlib.nullcontext(sys.stdout) if out is None else _whole(out) as stream,
        AnswerBar(number) as bar,
    ):
        waiting = rows()
        while chunk := list(itertools.islice(waiting, _CHUNK * options.batch_size)):
            answers = list(answers_of(task, model, chunk, options.batch_size, bar.tell))
            bar.clear()
            for row, answer in zip(chunk, answers, strict=True):
                print(json.dumps({**row, **answer}, ensure_ascii=False), file=stream)
            stream.flush()
            bar.next_call()
    if out is not None:
        print(out)
    return 0


@contextlib.contextmanager
def _whole(path: pathlib.Path) -> Any:
    """Opens a file that is there when all of it is."""
    beside = path.with_name(f".{path.name}.part")
    try:
        with open(beside, "w", encoding="utf-8") as stream:
            yield stream
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
