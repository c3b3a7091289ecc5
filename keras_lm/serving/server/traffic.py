"""Requests that are under way: how many, how large, and what became of them.

Holds what is not answered yet within bounds, so that memory is too.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from keras_lm.serving.server.metrics import Metrics
from keras_lm.serving.server.statuses import Code, ServingError, as_serving_error


class Call:
    """One request.

    Attributes:
        model: its model's name, as far as one is known.
        method: Predict, Classify, ...
        code: how it ended.
        error: of the server's own, for the logs.
    """

    def __init__(self, entrypoint: str) -> None:
        self.entrypoint = entrypoint
        self.model, self.method, self.code = "", "", Code.OK
        self.message = ""
        self.error: BaseException | None = None
        self.size = 0
        self.started = time.monotonic()


class Traffic:
    """Counts requests and bytes.

    Args:
        max_requests: that have no answer yet; what comes then is refused.
        max_bytes: of their bodies.
        metrics: where it counts.
        logger: where ends are told of.
        log_all: whether also of those that went well.
    """

    def __init__(
        self,
        max_requests: int,
        max_bytes: int,
        metrics: Metrics,
        logger: logging.Logger,
        log_all: bool = False,
    ) -> None:
        self._max_requests, self._max_bytes = max_requests, max_bytes
        self._metrics, self._logger, self._log_all = metrics, logger, log_all
        self._bytes = 0
        self.accepted = 0
        self.answered = 0

    @contextmanager
    def call(self, entrypoint: str) -> Iterator[Call]:
        """A request from its first byte to its answer; an error that leaves it is its end.

        Raises:
            ServingError: there are too many already.
        """
        call = Call(entrypoint)
        self.accepted += 1
        self._metrics.in_flight.inc()
        try:
            if self.accepted - self.answered > self._max_requests:
                raise ServingError(
                    Code.UNAVAILABLE,
                    f"Too many requests have no answer yet; at most {self._max_requests} may",
                )
            yield call
        except BaseException as error:
            known = as_serving_error(error)
            call.code, call.message = known.code, known.message
            if not isinstance(error, ServingError):
                call.error = error
            if not isinstance(error, Exception):  # the client has gone
                call.code, call.message, call.error = Code.CANCELLED, "cancelled", None
            raise
        finally:
            self._bytes -= call.size
            self.answered += 1
            self._metrics.in_flight.dec()
            self._tell(call)

    def take(self, call: Call, size: int) -> None:
        """Adds bytes of a request's body.

        Raises:
            ServingError: the bodies of all requests are too large together.
        """
        call.size += size
        self._bytes += size
        if self._bytes > self._max_bytes:
            raise ServingError(
                Code.UNAVAILABLE,
                "The bodies of the requests that have no answer yet are too large together; at "
                f"most {self._max_bytes} bytes may be",
            )

    def _tell(self, call: Call) -> None:
        microseconds = (time.monotonic() - call.started) * 1e6
        self._metrics.request_count.add(call.model, call.code.name)
        if call.code == Code.OK and call.method:
            self._metrics.request_latency.labels(call.model, call.method, call.entrypoint).observe(
                microseconds
            )
        is_ours = call.code in (Code.INTERNAL, Code.UNKNOWN, Code.DATA_LOSS)
        if self._log_all or is_ours:
            self._logger.log(
                logging.INFO if call.code == Code.OK else logging.WARNING,
                "request",
                exc_info=call.error,
                extra={
                    "model": call.model,
                    "method": call.method,
                    "entrypoint": call.entrypoint,
                    "code": call.code.name,
                    # Other messages quote the request, whose text is not for logs.
                    "error": call.message if is_ours else None,
                    "milliseconds": round(microseconds / 1e3, 3),
                    "bytes": call.size,
                },
            )
