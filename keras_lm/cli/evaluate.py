"""Print the figures of a fine-tuned model on a labelled file, or on counterfactual pairs."""

import argparse
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from keras_lm.cli.task_columns import COLUMNS, read_columns

_PAIR_COLUMNS = ("text", "text_pair", "group")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("model", help="what keras-lm finetune or keras_lm.save wrote")
    parser.add_argument("file", nargs="?", help="as --train of keras-lm finetune")
    parser.add_argument(
        "--counterfactual",
        metavar="PAIRS",
        help="in place of the file: text, text_pair, where only a name, a gender or a nationality "
        "differs, and group, if any: how often does the answer change?",
    )
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
    file, pairs = options.file, options.counterfactual
    if (file is None) == (pairs is None):
        both = "neither" if file is None else "both"
        raise ValueError(f"evaluate takes a file or --counterfactual PAIRS. Received: {both}")
    from keras_lm.cli.answer_bar import AnswerBar
    from keras_lm.cli.fine_tuned import load_fine_tuned  # TensorFlow takes seconds to import.
    from keras_lm.tasks import counterfactual, evaluate
    from keras_lm.tokenizers.text_files import resolve

    resolve(file or pairs)
    task, model = load_fine_tuned(options.model)
    named = COLUMNS[task].named if pairs is None else _PAIR_COLUMNS
    columns = read_columns(task, options.column, named)
    ask = evaluate if pairs is None else counterfactual
    with AnswerBar() as bar:
        figures = ask(
            model, file or pairs, batch_size=options.batch_size, verbose=bar.tell, **columns
        )
    if options.json:
        print(json.dumps(_sayable(figures), ensure_ascii=False))
        return 0
    for line in lines_of(figures):
        print(line)
    return 0


def _sayable(value: Any) -> Any:
    """JSON has no word for what is no number: null."""
    if isinstance(value, Mapping):
        return {name: _sayable(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def lines_of(figures: Mapping[str, Any]) -> Iterator[str]:
    """Figures as lines of a table; what stands within another as `outer.inner`."""
    flat = dict(_flat(figures, ""))
    width = max(map(len, flat), default=0)
    for name, value in flat.items():
        yield f"{name:{width}}  {f'{value:.4f}' if isinstance(value, float) else value}"


def _flat(figures: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
