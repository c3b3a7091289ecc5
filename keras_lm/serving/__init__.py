"""From a model to a SavedModel that takes strings and gives answers, and a server for it.

The server (`keras_lm.serving.server`) needs no model's Python: nothing is imported before it is
asked for.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_lm.serving.exporting import export as export

__all__ = ["export"]


def __getattr__(name: str) -> object:
    if name == "export":
        from keras_lm.serving.exporting import export

        return export
    raise AttributeError(f"module 'keras_lm.serving' has no attribute {name!r}")
