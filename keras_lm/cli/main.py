"""`keras-lm`: one file for each command, which imports TensorFlow only when it runs."""

import argparse
import os
import sys
from collections.abc import Sequence

from keras_lm.cli import (
    bundle,
    convert,
    evaluate,
    explain,
    export,
    finetune,
    generate,
    inspect,
    launch,
    models,
    plot,
    predict,
    prepare,
    pretrain,
    serve,
    verify,
)
from keras_lm.version import __version__

COMMANDS = {
    "bundle": bundle,
    "convert": convert,
    "evaluate": evaluate,
    "explain": explain,
    "export": export,
    "finetune": finetune,
    "generate": generate,
    "inspect": inspect,
    "launch": launch,
    "models": models,
    "plot": plot,
    "predict": predict,
    "prepare": prepare,
    "pretrain": pretrain,
    "serve": serve,
    "verify": verify,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: the words behind `keras-lm`. None: those of the process.

    Returns:
        The exit status: 0, or 2 for bad input, which is said in one line.
    """
    parser = argparse.ArgumentParser(prog="keras-lm", description="Language models for Keras.")
    parser.add_argument("--version", action="version", version=f"keras_lm {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        what = (module.__doc__ or "").strip()
        command = commands.add_parser(name, help=what, description=what)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        return options.run(options)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"keras-lm: {error}", file=sys.stderr)
        return 2
