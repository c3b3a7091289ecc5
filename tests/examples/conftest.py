"""The examples are scripts beside the package: they are imported from their directory."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))
