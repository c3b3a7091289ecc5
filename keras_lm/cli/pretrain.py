"""Pre-train a model as a recipe says, or go on with it."""

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("--config", required=True, help="the recipe, a YAML file")
    parser.add_argument(
        "changes",
        metavar="KEY=VALUE",
        nargs="*",
        help="in the place of what the recipe says, such as optimizer.learning_rate=1e-3",
    )
    parser.add_argument(
        "--check", action="store_true", help="print the recipe with all defaults; train nothing"
    )
    parser.add_argument(
        "--verbose", type=int, choices=(0, 1, 2), default=1, help="as of fit; default: 1"
    )


def run(options: argparse.Namespace) -> int:
    """Trains; prints the path of the model. Returns 1 where a loss is no number."""
    try:
        import pydantic  # noqa: F401
        import ruamel.yaml  # noqa: F401
    except ImportError:
        raise ImportError('Recipes need the extra: pip install "keras_lm[pretrain]"') from None
    from keras_lm.cli.recipes import reading, running  # TensorFlow takes seconds to import.

    recipe = reading.read_recipe(options.config, options.changes)
    if options.check:
        number = running.check(recipe)
        print(reading.to_yaml(recipe), end="")
        print(f"# {number:,} parameters" if number else "# as many parameters as tokens ask for")
        return 0
    try:
        print(running.run(recipe, options.verbose))
    except FloatingPointError as error:
        print(f"keras-lm: {error}", file=sys.stderr)
        return 1
    return 0
