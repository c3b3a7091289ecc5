"""Errors as OpenAI's clients read them."""

import json
from typing import Any

from keras_lm.serving.server.bodies import TooLargeError
from keras_lm.serving.server.statuses import HTTP_STATUS, Code, ServingError, as_serving_error

_INVALID = "invalid_request_error"
# Type and code of what is not simply an invalid request.
_KINDS = {
    Code.UNAUTHENTICATED: (_INVALID, "invalid_api_key"),
    Code.NOT_FOUND: (_INVALID, "model_not_found"),
    Code.RESOURCE_EXHAUSTED: ("requests", "rate_limit_exceeded"),
    Code.UNAVAILABLE: ("server_error", "overloaded"),
    Code.DEADLINE_EXCEEDED: ("timeout", "timeout"),
}


class ApiError(ServingError):
    """A request ends with an error of which OpenAI's interface tells more.

    Args:
        message: for people.
        param: the field of the request that is at fault.
        error: its name for programs.
        code: a `Code`.
    """

    def __init__(
        self,
        message: str,
        param: str | None = None,
        error: str | None = None,
        code: Code = Code.INVALID_ARGUMENT,
    ) -> None:
        super().__init__(code, message)
        self.param, self.error = param, error


def unknown_model(name: str) -> ApiError:
    """The end of a request for a model that is not served."""
    return ApiError(
        f"The model '{name:.200}' does not exist", "model", "model_not_found", Code.NOT_FOUND
    )


def error_of(error: BaseException) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Status, headers and body of an answer."""
    known = as_serving_error(error)
    status = 413 if isinstance(known, TooLargeError) else HTTP_STATUS[known.code]
    kind, code = _KINDS.get(known.code, (_INVALID if status < 500 else "server_error", None))
    param = None
    if isinstance(known, ApiError):
        param, code = known.param, known.error or code
    headers = {}
    if known.code == Code.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = "Bearer"
    if known.code == Code.UNAVAILABLE:
        headers["Retry-After"] = "1"
    found = {"message": known.message, "type": kind, "param": param, "code": code}
    return status, headers, {"error": found}


def as_bytes(document: Any) -> bytes:
    """JSON."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "replace"
    )
