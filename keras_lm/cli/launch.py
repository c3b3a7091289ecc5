"""Run a training in several processes of this machine, and again when one dies."""

import argparse

from keras_lm.cli.workers import Workers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("--workers", type=int, required=True, help="number of processes")
    parser.add_argument(
        "--max-restarts",
        type=int,
        default=0,
        help="how many times all are started again when one ended badly; default: 0",
    )
    parser.add_argument(
        "--grace",
        type=float,
        default=30.0,
        help="seconds that the others have to end before they are killed; default: 30",
    )
    parser.add_argument(
        "command", nargs="*", help="behind --, what each runs: -- python train.py ..."
    )


def run(options: argparse.Namespace) -> int:
    """Runs the command in each worker; returns the status of the first that ended badly."""
    workers = Workers(
        options.command,
        number=options.workers,
        max_restarts=options.max_restarts,
        grace=options.grace,
    )
    return workers.run()
