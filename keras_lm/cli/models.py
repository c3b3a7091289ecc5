"""List the models that papers name: parameters, memory, source."""

import argparse

_GIB = 2**30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("part", nargs="?", default="", help="of a name, e.g. bert; default: all")


def run(options: argparse.Namespace) -> int:
    """Prints a line for each model.

    Raises:
        ValueError: no name has such a part.
    """
    from keras_lm.models.catalog import CATALOG  # TensorFlow takes seconds to import.

    found = {name: size for name, size in CATALOG.items() if options.part in name}
    if not found:
        raise ValueError(f"models takes a part of a name. Received: {options.part!r}, of none")
    print(f"{'name':<34}{'class':<13}{'parameters':>16}{'GiB':>8}{'training':>10}  source")
    for name, size in found.items():
        weights = 4 * size.parameters / _GIB
        print(
            f"{name:<34}{size.model.__name__:<13}{size.parameters:>16,}{weights:>8.2f}"
            f"{4 * weights:>10.2f}  {size.paper}"
        )
    print(
        "GiB: the weights in float32. training: weights, gradients and the two moments of AdamW, "
        'without activations.\nkeras_lm.models.build("NAME") makes one.'
    )
    return 0
