"""What all endpoints of OpenAI's interface do with a request: who may ask, its body, its errors."""

import abc
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from keras_lm.serving.server import bearer_token, json_text
from keras_lm.serving.server.bodies import Bodies
from keras_lm.serving.server.completions.errors import as_bytes, error_of
from keras_lm.serving.server.request_time import seconds_of
from keras_lm.serving.server.traffic import Call, Traffic


class Endpoint(abc.ABC):
    """An ASGI application for one kind of request.

    Args:
        traffic: counts requests.
        bodies: reads them.
        token: what each must carry. None: nothing.
        seconds: the longest time for an answer. None: any time.

    Attributes:
        method: what its requests are counted as.
    """

    method: str

    def __init__(
        self, traffic: Traffic, bodies: Bodies, token: str | None, seconds: float | None
    ) -> None:
        self._traffic, self._bodies = traffic, bodies
        self._token, self._seconds = token, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        request = Request(scope, receive)
        response: Response | None
        try:
            with self._traffic.call("REST") as call:
                call.method = self.method
                bearer_token.check(self._token, request.headers.get("authorization"))
                seconds = seconds_of(request, self._seconds)
                document = json_text.parse(await self._bodies.read(request, call, seconds))
                response = await self.answer(request, document, seconds, call, send)
        except Exception as error:
            status, headers, told = error_of(error)
            response = Response(as_bytes(told), status, headers, media_type="application/json")
        if response is not None:
            await response(scope, receive, send)

    @abc.abstractmethod
    async def answer(
        self,
        request: Request,
        document: Mapping[str, Any],
        seconds: float | None,
        call: Call,
        send: Send,
    ) -> Response | None:
        """Answers a request.

        Args:
            request: whose body has been read.
            document: the body.
            seconds: that it may take. None: any time.
            call: is told which model answers.
            send: takes a stream.

        Returns:
            The answer, or None: it has been sent.

        Raises:
            ServingError: it has none.
        """
