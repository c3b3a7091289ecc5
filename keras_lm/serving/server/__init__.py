"""TensorFlow Serving's REST and gRPC on this machine, for SavedModels of anybody.

`keras-lm serve saved_models/` starts it. It needs the extra `serve` of this package and no model's
Python. From the disk to the wire: `model_config` says what is to be served, `repository` loads it
as `servable`s, `batching` runs their requests, `inference` checks them, `rest` and `grpc_services`
speak the two protocols, `model_server` holds all of it.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_lm.serving.server.batching_parameters import (
        BatchingParameters as BatchingParameters,
    )
    from keras_lm.serving.server.completions.engine_options import EngineOptions as EngineOptions
    from keras_lm.serving.server.model_server import ModelServer as ModelServer
    from keras_lm.serving.server.options import ServerOptions as ServerOptions

_HOME = {
    "BatchingParameters": "batching_parameters",
    "EngineOptions": "completions.engine_options",
    "ModelServer": "model_server",
    "ServerOptions": "options",
}
__all__ = [*_HOME]


def __getattr__(name: str) -> object:

    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
