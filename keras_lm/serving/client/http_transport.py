"""Requests over TensorFlow Serving's REST. It imports no TensorFlow.

On urllib3, which every installation of TensorFlow has: its pool of connections is shared by threads
and sees where a server has closed one.
"""

import base64
import json
import ssl
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import urllib3

from keras_lm.serving.client.errors import HTTP_CODES, DeadlineError, ServerError, error_of
from keras_lm.serving.client.metadata import (
    Signature,
    VersionStatus,
    signatures_of_json,
    statuses_of_json,
)
from keras_lm.serving.client.retrying import Deadline, RefusedError
from keras_lm.serving.client.transport import Arrays, Target

Found = TypeVar("Found")

_RETRIED = (429, 503)
_CONNECTIONS = 64  # kept; more are opened for more threads, and closed again


class HttpTransport:
    """Sends requests over HTTP.

    Args:
        url: of the server, what stands before `/v1/`.
        token: sent as a bearer token. None: nothing is.
        tls: for `https`. None: that of the system.
    """

    def __init__(self, url: str, token: str | None, tls: ssl.SSLContext | None) -> None:
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        options: dict[str, Any] = {} if tls is None else {"ssl_context": tls}
        self._prefix = urllib.parse.urlsplit(url).path.rstrip("/")
        self._pool = urllib3.connection_from_url(
            url, maxsize=_CONNECTIONS, retries=False, **options
        )

    def predict(
        self,
        target: Target,
        name: str,
        signature: Signature,
        inputs: Mapping[str, np.ndarray],
        deadline: Deadline,
    ) -> Arrays:
        """See `Transport`."""
        columns = {key: _plain(value.tolist()) for key, value in inputs.items()}
        body = json.dumps({"signature_name": name, "inputs": columns}).encode()
        found = self._send("POST", f"{_path(target)}:predict", target.model, deadline, body)

        def read() -> Arrays:
            outputs = found["outputs"]
            if len(signature.outputs) == 1:  # it stands there without its name
                outputs = {next(iter(signature.outputs)): outputs}
            return {
                key: _array(outputs[key], spec.dtype) for key, spec in signature.outputs.items()
            }

        return _read(read, target.model)

    def signatures(self, target: Target, deadline: Deadline) -> dict[str, Signature]:
        """See `Transport`."""
        found = self._send("GET", f"{_path(target)}/metadata", target.model, deadline)
        return _read(lambda: signatures_of_json(found), target.model)

    def statuses(self, target: Target, deadline: Deadline) -> list[VersionStatus]:
        """See `Transport`."""
        found = self._send("GET", _path(target), target.model, deadline)
        return _read(lambda: statuses_of_json(found), target.model)

    def close(self) -> None:
        """See `Transport`."""
        self._pool.close()

    def _send(
        self, method: str, path: str, model: str, deadline: Deadline, body: bytes | None = None
    ) -> Any:
        left = deadline.left()
        headers = dict(self._headers)
        if left is not None:
            headers["X-Request-Timeout"] = f"{left:.3f}"  # `keras-lm serve` then ends in time, too
        try:
            response = self._pool.request(
                method,
                self._prefix + path,
                body=body,
                headers=headers,
                timeout=urllib3.Timeout(total=left),
                redirect=False,
                preload_content=False,
            )
            text = _text(response, deadline)
        except urllib3.exceptions.NewConnectionError as error:
            failure = error_of("UNAVAILABLE", str(error), model)
            if isinstance(error.__cause__, ConnectionRefusedError):
                raise RefusedError(failure) from None
            raise failure from None
        except urllib3.exceptions.TimeoutError:
            raise deadline.passed() from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            # It may have been on its way: whoever asked says whether it is asked again.
            raise error_of("UNAVAILABLE", str(error), model) from None
        if response.status == 200:
            return _read(lambda: json.loads(text), model)
        code = HTTP_CODES.get(response.status, "UNKNOWN")
        failure = error_of(code, _message(response, text), model)
        if response.status in _RETRIED and not isinstance(failure, DeadlineError):
            if response.status == 429:
                failure = error_of("UNAVAILABLE", failure.message, model)
            raise RefusedError(failure, _seconds(response.headers.get("retry-after")))
        raise failure


def _path(target: Target) -> str:
    path = f"/v1/models/{urllib.parse.quote(target.model, safe='')}"
    if target.version is not None:
        return f"{path}/versions/{target.version}"
    if target.label is not None:
        return f"{path}/labels/{urllib.parse.quote(target.label, safe='')}"
    return path


def _read(read: Callable[[], Found], model: str) -> Found:
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"The answer is not TensorFlow Serving's: {error}"
        raise ServerError("INTERNAL", message, model) from error


def _text(response: urllib3.BaseHTTPResponse, deadline: Deadline) -> str:
    parts = []
    try:
        for part in response.stream(2**16):
            parts.append(part)
            deadline.left()  # a body that comes drop by drop, too
    except BaseException:
        response.close()
        raise
    return b"".join(parts).decode("utf-8", "replace")


def _message(response: urllib3.BaseHTTPResponse, text: str) -> str:
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status} {response.reason or ''}: {text[:200].strip()}"


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() else None


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode("ascii")}
    return value


def _array(value: Any, dtype: str) -> np.ndarray:
    if dtype != "string":
        return np.array(value, np.dtype(dtype))
    shape, inner = [], value
    while isinstance(inner, list):
        shape.append(len(inner))
        if not inner:
            break
        inner = inner[0]
    flat = np.empty(int(np.prod(shape)), object)
    flat[:] = list(_leaves(value))
    return flat.reshape(shape)


def _leaves(value: Any) -> Any:
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield base64.b64decode(value["b64"]) if isinstance(value, dict) else value
