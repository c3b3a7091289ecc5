"""How a request ends that has no answer: one class for each thing that a caller may do about it.

Codes are the names of gRPC's; those of HTTP become what TensorFlow Serving made them from.
"""

HTTP_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class ClientError(Exception):
    """A request has no answer.

    Attributes:
        code: the name of one of gRPC's status codes.
        message: the server's words, or what went wrong on the way to it.
        model: the name of the model that was asked.
    """

    def __init__(self, code: str, message: str, model: str) -> None:
        super().__init__(code, message, model)
        self.code, self.message, self.model = code, message, model

    def __str__(self) -> str:
        return f"{self.code} from model {self.model!r}: {self.message}"


class InvalidRequestError(ClientError):
    """The request is not one that the model takes: the same again ends the same."""


class NotFoundError(ClientError):
    """There is no such model or version."""


class NotAllowedError(ClientError):
    """The token or the certificate is missing or another one."""


class UnavailableError(ClientError):
    """The server cannot be reached, or has too much to do, after all tries."""


class DeadlineError(ClientError):
    """There was no answer in the time."""


class ServerError(ClientError):
    """The server failed, or answered what is no answer."""


_KINDS: dict[str, type[ClientError]] = {
    "INVALID_ARGUMENT": InvalidRequestError,
    "FAILED_PRECONDITION": InvalidRequestError,
    "OUT_OF_RANGE": InvalidRequestError,
    "RESOURCE_EXHAUSTED": InvalidRequestError,  # a message that is too large
    "UNIMPLEMENTED": InvalidRequestError,
    "NOT_FOUND": NotFoundError,
    "UNAUTHENTICATED": NotAllowedError,
    "PERMISSION_DENIED": NotAllowedError,
    "UNAVAILABLE": UnavailableError,
    "DEADLINE_EXCEEDED": DeadlineError,
}

# TensorFlow Serving's words for a request whose time was over before it was run.
_IN_THE_QUEUE = "timeout exceeded while waiting in batching queue"


def error_of(code: str, message: str, model: str) -> ClientError:
    """The error of a code."""
    if code == "RESOURCE_EXHAUSTED" and _IN_THE_QUEUE in message:
        return DeadlineError(code, message, model)
    return _KINDS.get(code, ServerError)(code, message, model)
