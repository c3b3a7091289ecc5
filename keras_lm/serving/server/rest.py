"""TensorFlow Serving's REST: `/v1/models/NAME[/versions/N|/labels/L]`, `/metadata`, `:predict`,
`:classify`, `:regress`.

Paths, formats, codes and messages are those of http_rest_api_handler.cc; what it says, a client of
TensorFlow Serving already understands.
"""

import asyncio
import dataclasses
import json
import re
import urllib.parse
from typing import Any

from google.protobuf import json_format
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from keras_lm.serving.server import bearer_token, examples, json_examples, json_tensors, json_text
from keras_lm.serving.server.bodies import Bodies, TooLargeError, until_gone
from keras_lm.serving.server.completions.models import Models
from keras_lm.serving.server.inference import Inference
from keras_lm.serving.server.model_answers import metadata, status
from keras_lm.serving.server.repository import Repository, Wish
from keras_lm.serving.server.request_time import seconds_of
from keras_lm.serving.server.servable import Servable
from keras_lm.serving.server.signature import DEFAULT
from keras_lm.serving.server.statuses import (
    HTTP_STATUS,
    Code,
    ServingError,
    as_serving_error,
    invalid,
)
from keras_lm.serving.server.traffic import Call, Traffic

_MODEL = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(_MODEL + r":(?P<method>classify|regress|predict)", re.IGNORECASE | re.ASCII)
_GET = re.compile(_MODEL + r"(?P<metadata>/metadata)?", re.IGNORECASE | re.ASCII)
_LARGEST = 2**63 - 1
# A body of this size takes long enough to read to be read elsewhere than between other requests.
_LARGE = 2**17


class Rest:
    """An ASGI application for everything below `/v1/`.

    Args:
        repository: the models.
        inference: runs requests.
        traffic: counts them.
        bodies: reads them.
        token: what each must carry. None: nothing.
        seconds: the longest time for an answer; a request may ask for less in the header
            `X-Request-Timeout`, in seconds. None: any time.
        models: what OpenAI's interface tells of models.
    """

    def __init__(
        self,
        repository: Repository,
        inference: Inference,
        traffic: Traffic,
        bodies: Bodies,
        token: str | None,
        seconds: float | None,
        models: Models,
    ) -> None:
        self._models = models
        self._repository, self._inference = repository, inference
        self._traffic, self._bodies = traffic, bodies
        self._token, self._seconds = token, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        request = Request(scope, receive)
        headers = {}
        try:
            with self._traffic.call("REST") as call:
                body = await self._answer(request, call)
            code = 200
        except ServingError as error:
            code = 413 if isinstance(error, TooLargeError) else HTTP_STATUS[error.code]
            body = json_text.error_body(error.message)
            if error.code == Code.UNAUTHENTICATED:
                headers["WWW-Authenticate"] = "Bearer"
        except Exception as error:
            code, body = 500, json_text.error_body(as_serving_error(error).message)
        response = Response(body, code, headers, media_type="application/json")
        await response(scope, receive, send)

    async def _answer(self, request: Request, call: Call) -> bytes:
        bearer_token.check(self._token, request.headers.get("authorization"))
        path = request.scope["raw_path"].decode("ascii", "replace")
        malformed = invalid(f"Malformed request: {request.method} {path}")
        if request.method == "POST":
            found = _POST.fullmatch(path)
            if found is None:
                raise malformed
            wish, method = _wish(found), found["method"].lower()
            seconds = seconds_of(request, self._seconds)
            body = await self._bodies.read(request, call, seconds)
            work = self._ask(wish, method, body, call, seconds)
            return await until_gone(request, work)
        if request.method != "GET":
            raise malformed
        if path.rstrip("/").lower() == "/v1/models":
            raise invalid("Missing model name in request.")
        found = _GET.fullmatch(path)
        if found is None:
            raise malformed
        wish = _wish(found)
        if found["metadata"]:
            call.method = "GetModelMetadata"
            return self._metadata(wish, call)
        call.method = "GetModelStatus"
        return self._status(wish)

    async def _ask(
        self, wish: Wish, method: str, body: bytes, call: Call, seconds: float | None
    ) -> bytes:
        call.method = method.capitalize()
        document = await _apart(len(body), json_text.parse, body)
        name = document.get("signature_name", "")
        if not isinstance(name, str):
            raise invalid(
                f"JSON Value: {json_text.excerpt(document)} not formatted correctly. "
                "'signature_name' key must be a string value."
            )
        with self._repository.use(wish) as servable:
            call.model = servable.name
            if method == "predict":
                return await self._predict(servable, name, document, len(body), seconds)
            return await self._examples(servable, method, name, document, seconds)

    async def _predict(
        self, servable: Servable, name: str, document: Any, size: int, seconds: float | None
    ) -> bytes:
        name = name or DEFAULT
        if name not in servable.signatures:
            raise invalid(f'Serving signature name: "{name}" not found in signature def')
        signature = servable.signatures[name]
        inputs, are_rows = await _apart(size, json_tensors.inputs_from, document, signature)
        outputs = await self._inference.run(servable, signature, inputs, seconds=seconds)
        if not outputs:
            raise invalid("Cannot convert empty tensor map to JSON")
        write = json_text.predictions_body if are_rows else json_text.outputs_body
        return await _apart(sum(value.size for value in outputs.values()) * 8, write, outputs)

    async def _examples(
        self, servable: Servable, method: str, name: str, document: Any, seconds: float | None
    ) -> bytes:
        message = input_pb2.Input()
        json_examples.read(document, message)
        asked = examples.CLASSIFY if method == "classify" else examples.REGRESS
        signature = asked.signature(servable.signatures, name)
        rows = examples.serialized(message)
        outputs = await self._inference.run(
            servable, signature, {examples.INPUTS: rows}, asked.outputs(signature), seconds
        )
        if method == "classify":
            classes = classification_pb2.ClassificationResult()
            asked.write(outputs, len(rows), classes)
            return json_examples.classes_body(classes)
        numbers = regression_pb2.RegressionResult()
        asked.write(outputs, len(rows), numbers)
        return json_examples.numbers_body(numbers)

    def _metadata(self, wish: Wish, call: Call) -> bytes:
        with self._repository.use(wish) as servable:
            call.model = servable.name
            spec, signatures = metadata(servable)
        return (
            b'{\n"model_spec":'
            + _as_json(spec)
            + b',\n"metadata": {"signature_def": '
            + _as_json(signatures)
            + b"}\n}\n"
        )

    def _status(self, wish: Wish) -> bytes:
        """The versions of a model; of all of them, with what OpenAI's interface tells too."""
        is_whole = wish.version is None and wish.label is None
        name = self._models.behind(wish.name) if is_whole else wish.name
        if is_whole and self._models.is_elsewhere(name):
            return json.dumps(self._models.document(wish.name)).encode()
        found = _as_json(status(self._repository, dataclasses.replace(wish, name=name)))
        if not is_whole:
            return found
        # The same path, with clients of both kinds: each looks for its own fields.
        told = json.dumps(self._models.document(wish.name)).encode()
        return found.rstrip().removesuffix(b"}").rstrip() + b",\n " + told[1:-1] + b"\n}\n"


def _wish(found: re.Match[str]) -> Wish:
    name = urllib.parse.unquote(found["name"], errors="replace")
    version, label = found["version"], found["label"]
    if version is not None and (len(version) > 20 or int(version) > _LARGEST):
        raise invalid(f"Failed to convert version: {version} to numeric.")
    return Wish(
        name,
        None if version is None else int(version),
        None if label is None else urllib.parse.unquote(label, errors="replace"),
    )


def _as_json(message: Any) -> bytes:
    text = json_format.MessageToJson(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return text.encode()


async def _apart(size: int, work: Any, *arguments: Any) -> Any:
    """Does what takes long in a thread, so that other requests go on."""
    if size < _LARGE:
        return work(*arguments)
    return await asyncio.to_thread(work, *arguments)
