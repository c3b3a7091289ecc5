"""A client of TensorFlow Serving and of `keras-lm serve`, over gRPC and over HTTP.

Over HTTP it imports no TensorFlow. `errors` says how requests fail, `retrying` when they are sent
again, `http_transport` and `grpc_transport` carry them, `batches` cuts long lists, `answers` are
what comes back, `client` holds all of it.
"""

from keras_lm.serving.client.answers import (
    Answer,
    Classification,
    Completion,
    Entity,
    Filling,
    Score,
)
from keras_lm.serving.client.client import Client
from keras_lm.serving.client.errors import (
    ClientError,
    DeadlineError,
    InvalidRequestError,
    NotAllowedError,
    NotFoundError,
    ServerError,
    UnavailableError,
)
from keras_lm.serving.client.metadata import Signature, TensorSpec, VersionStatus

__all__ = [
    "Answer",
    "Classification",
    "Client",
    "ClientError",
    "Completion",
    "DeadlineError",
    "Entity",
    "Filling",
    "InvalidRequestError",
    "NotAllowedError",
    "NotFoundError",
    "Score",
    "ServerError",
    "Signature",
    "TensorSpec",
    "UnavailableError",
    "VersionStatus",
]
