"""Bodies of HTTP requests, within bounds, and clients that go away."""

import asyncio
import zlib
from collections.abc import Coroutine
from typing import Any

from starlette.requests import ClientDisconnect, Request

from keras_lm.serving.server.statuses import Code, ServingError, invalid
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

    async def read(self, request: Request, call: Call, seconds: float | None) -> bytes:
        """All of a body, unpacked where it is packed with gzip.

        Args:
            request: whose body.
            call: is charged with its bytes.
            seconds: that it may take. None: any time.

        Raises:
            TooLargeError: it is, or says that it is.
            ServingError: all bodies together are, it took too long, it is not what it says it is,
                or the client went away.
        """
        announced = request.headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > self._max_bytes:
            raise self._too_large()
        packing = request.headers.get("content-encoding", "identity").lower()
        if packing not in ("identity", "gzip"):
            raise invalid(f"Content-Encoding must be gzip or identity. Received: {packing}")
        parts, size = [], 0
        try:
            async with asyncio.timeout(seconds):
                async for part in request.stream():
                    size += len(part)
                    if size > self._max_bytes:
                        raise self._too_large()
                    self._traffic.take(call, len(part))
                    parts.append(part)
        except ClientDisconnect:
            raise ServingError(Code.CANCELLED, "The client has gone") from None
        except TimeoutError:
            raise ServingError(
                Code.DEADLINE_EXCEEDED, "The body took longer than the request's time"
            ) from None
        body = b"".join(parts)
        return self._unpacked(body, call) if packing == "gzip" else body

    def _unpacked(self, body: bytes, call: Call) -> bytes:
        unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            # A few bytes may stand for very many.
            found = unpacking.decompress(body, self._max_bytes)
        except zlib.error:
            raise invalid("The body is not packed with gzip") from None
        if unpacking.unconsumed_tail:
            raise self._too_large()
        self._traffic.take(call, len(found))
        return found

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
