"""How a request ends: TensorFlow's status codes, which gRPC shares, and what HTTP makes of them.

The codes of HTTP are those of TensorFlow Serving (model_servers/http_server.cc).
"""

import enum
import re

import tensorflow as tf


class Code(enum.IntEnum):
    """Codes of `absl::Status`; those of gRPC have the same numbers."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


HTTP_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}

# gRPC sends messages in headers, whose size is limited; TensorFlow Serving cuts at the same length.
_MESSAGE_LIMIT = 1024
# Lines of a message that are for those who wrote the model: nodes and source lines.
_INTERNAL = re.compile(r"\s|Graph execution error|Detected at node|Node: |Original stack|Traceback")
_NODES = re.compile(r"\{\{(?:function_)?node [^}]*\}\}\s*|\s*\[\[.*?\]\]")
# An absolute path with two parts or more; the names of a graph's nodes do not begin with "/".
_PATH = re.compile(r"(?<![\w./])(?:[a-z]+:/)?/[^\s:,;'\")\]/]+(?:/[^\s:,;'\")\]]+)+")


class ServingError(Exception):
    """A request ends with a status that is not OK.

    Args:
        code: a `Code`.
        message: what the client reads.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"


def invalid(message: str) -> ServingError:
    """The status of most bad requests."""
    return ServingError(Code.INVALID_ARGUMENT, message)


def cut(message: str) -> str:
    """A message as long as gRPC carries it."""
    if len(message) > _MESSAGE_LIMIT:
        return message[:_MESSAGE_LIMIT] + "...TRUNCATED"
    return message


def without_internals(message: str) -> str:
    """A message of TensorFlow without nodes, source lines and paths of this machine."""
    for line in message.split("\n"):
        if line and not _INTERNAL.match(line):
            told = _PATH.sub("(a path)", _NODES.sub("", line)).strip()
            if told:
                return told
    return "The model could not be run"


def as_serving_error(error: BaseException) -> ServingError:
    """What a client may read of an error: never a traceback, a source line or a path."""
    if isinstance(error, ServingError):
        return error
    if isinstance(error, tf.errors.OpError):
        return ServingError(Code(error.error_code), without_internals(error.message))
    return ServingError(Code.INTERNAL, f"The server failed: {type(error).__name__}")
