"""Print the figures of a fine-tuned model on a labelled file."""

import argparse
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from keras_lm.cli.task_columns import COLUMNS, read_columns


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("model", help="what keras-lm finetune or keras_lm.save wrote")
    parser.add_argument("file", help="as --train of keras-lm finetune")
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="NAME=COLUMN",
        help="what a column is called in the file, such as text=review; repeatable",
    )
    parser.add_argument("--batch-size", type=int, help="texts that are read at once; default: 32")
    parser.add_argument("--json", action="store_true", help="print one object of JSON")


def run(options: argparse.Namespace) -> int:
    """Evaluates; prints a figure a line."""
    from keras_lm.cli.fine_tuned import load_fine_tuned  # TensorFlow takes seconds to import.
    from keras_lm.tasks import evaluate
    from keras_lm.tokenizers.text_files import resolve

    resolve(options.file)
    task, model = load_fine_tuned(options.model)
    columns = read_columns(task, options.column, COLUMNS[task].named)
    figures = evaluate(model, options.file, batch_size=options.batch_size, verbose=0, **columns)
    if options.json:
        print(as_json(figures))
        return 0
    for line in lines_of(figures):
        print(line)
    return 0


def as_json(figures: Mapping[str, Any]) -> str:
    """Figures as JSON, which has no word for what is no number: null."""
    known = {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in figures.items()
    }
    return json.dumps(known, ensure_ascii=False)


def lines_of(figures: Mapping[str, Any]) -> Iterator[str]:
    """Figures as lines of a table."""
    width = max(map(len, figures), default=0)
    for name, value in figures.items():
        yield f"{name:{width}}  {f'{value:.4f}' if isinstance(value, float) else value}"
