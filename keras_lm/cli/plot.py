"""Draw the curves of trainings as a PNG."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="+",
        help="the directory of a training.Monitor, or a CSV file with a column step or epoch",
    )
    parser.add_argument("--out", default="curves.png", help="default: curves.png")
    parser.add_argument(
        "--columns",
        help="a panel each, such as loss,gradient_norm; default: loss, accuracies, learning rate",
    )
    parser.add_argument(
        "--x",
        choices=("step", "epoch", "tokens", "seconds"),
        default="step",
        help="what goes to the right; tokens and seconds are added up; default: step",
    )
    parser.add_argument(
        "--smooth",
        type=int,
        help="draw means of so many rows; default: a fiftieth of them; 1: none",
    )


def run(options: argparse.Namespace) -> int:
    """Draws; prints the path."""
    from keras_lm.cli.curves import draw, read_run

    columns = options.columns.split(",") if options.columns else None
    runs = [read_run(path) for path in options.runs]
    print(draw(runs, options.out, columns=columns, x=options.x, smooth=options.smooth))
    return 0
