"""From a model to a SavedModel that takes strings and gives answers, a server and a client for it.

Neither the server (`keras_lm.serving.server`) nor the client over HTTP needs the model's Python or
Keras: nothing is imported before it is asked for.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_lm.serving.client import Client as Client
    from keras_lm.serving.client import ClientError as ClientError
    from keras_lm.serving.exporting import export as export

_HOME = {"Client": "client", "ClientError": "client", "export": "exporting"}
__all__ = [*_HOME]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'keras_lm.serving' has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
