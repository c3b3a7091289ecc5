"""The examples are scripts beside the package: they are imported from their directory."""

import pathlib
import sys

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))
