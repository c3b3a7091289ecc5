"""A client of TensorFlow Serving and of `keras-lm serve`, over gRPC and over HTTP.

Over HTTP it imports no TensorFlow. `errors` says how requests fail, `retrying` when they are sent
again; `http_transport` and `grpc_transport` carry them to where `connecting` says; `batches` cuts
long lists, `tasks` knows what each task asks, `answers` are what comes back, `client` holds all.
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
