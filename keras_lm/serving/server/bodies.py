"""Bodies of HTTP requests, within bounds, and clients that go away."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.requests import ClientDisconnect, Request

from keras_lm.serving.server.statuses import Code, ServingError
from keras_lm.serving.server.traffic import Call, Traffic


class TooLargeError(ServingError):
    """A body is larger than any may be."""


class Bodies:
    """Reads bodies.

    Args:
        max_bytes: of one body.
        traffic: bounds all of them together.
    """

    def __init__(self, max_bytes: int, traffic: Traffic) -> None:
        self._max_bytes, self._traffic = max_bytes, traffic

    async def read(self, request: Request, call: Call) -> bytes:
        """All of a body.

        Raises:
            TooLargeError: it is, or says that it is.
            ServingError: all bodies together are, or the client went away.
        """
        announced = request.headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > self._max_bytes:
            raise self._too_large()
        parts, size = [], 0
        try:
            async for part in request.stream():
                size += len(part)
                if size > self._max_bytes:
                    raise self._too_large()
                self._traffic.take(call, len(part))
                parts.append(part)
        except ClientDisconnect:
            raise ServingError(Code.CANCELLED, "The client has gone") from None
        return b"".join(parts)

    def _too_large(self) -> ServingError:
        return TooLargeError(
            Code.RESOURCE_EXHAUSTED, f"A body must have at most {self._max_bytes} bytes"
        )


async def until_gone(request: Request, work: Coroutine[Any, Any, bytes]) -> bytes:
    """Does work for a client, and stops when the client goes away.

    Args:
        request: whose body has been read.
        work: what gives its answer.

    Raises:
        ServingError: the client went away; or what `work` raises.
    """
    answer = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise ServingError(Code.CANCELLED, "The client has gone")
    finally:
        gone.cancel()
        if not answer.done():
            answer.cancel()
            # It leaves the queue before the answer is given up.
            await asyncio.wait((answer,))
