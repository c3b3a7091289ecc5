"""One request to one signature, whatever protocol it came by: checks, the queue, the time limit."""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping

import numpy as np

from keras_lm.serving.server.batching import Batcher, Task, timed_out_waiting
from keras_lm.serving.server.servable import Servable
from keras_lm.serving.server.signature import Arrays, Signature, rows_of
from keras_lm.serving.server.statuses import Code, ServingError, as_serving_error, invalid


class Inference:
    """Runs requests.

    Args:
        batcher: joins and runs them.
        max_rows: of one request.
        logger: is told of errors that are nobody's fault but the server's.
    """

    def __init__(self, batcher: Batcher, max_rows: int, logger: logging.Logger) -> None:
        self._batcher, self._max_rows, self._logger = batcher, max_rows, logger

    async def run(
        self,
        servable: Servable,
        signature: Signature,
        inputs: Mapping[str, np.ndarray],
        output_filter: Iterable[str] = (),
        seconds: float | None = None,
    ) -> Arrays:
        """Answers a request. When it is cancelled, it leaves the queue.

        Args:
            servable: a version that the caller has in use.
            signature: of that version.
            inputs: arrays by alias.
            output_filter: aliases of outputs. Empty: all.
            seconds: until the answer is of no use. None: any time.

        Returns:
            The outputs by alias.

        Raises:
            ServingError: it has no answer.
        """
        feeds = signature.feeds(inputs)
        fetches = signature.fetches(output_filter)
        longest = max((value.shape[0] for value in feeds.values() if value.ndim), default=0)
        if longest > self._max_rows:
            raise invalid(
                f"Task size {longest} is larger than maximum input batch size {self._max_rows}"
            )
        rows = rows_of(feeds) if signature.joinable else 1
        task = Task(
            feeds,
            tuple(fetches.values()),
            rows,
            signature.joinable and rows > 0,
            None if seconds is None else time.monotonic() + seconds,
        )
        self._batcher.submit(servable, signature.name, task)
        try:
            async with asyncio.timeout(seconds):
                values = await asyncio.wrap_future(task.answer)
        except TimeoutError:
            if task.answer.cancel():
                raise timed_out_waiting() from None
            raise ServingError(Code.DEADLINE_EXCEEDED, "Run() took longer than its time") from None
        except Exception as error:
            known = as_serving_error(error)
            if known.code in (Code.INTERNAL, Code.UNKNOWN):
                self._logger.error(
                    "a request failed",
                    extra={"model": servable.name, "version": servable.version},
                    exc_info=error,
                )
            raise known from None
        return dict(zip(fetches, values, strict=True))
