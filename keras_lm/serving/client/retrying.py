"""When a request is sent again, and how long before it is given up.

Waits grow exponentially and are drawn from their whole range, so that clients that were refused
together do not come back together ("full jitter": Brooker 2015, "Exponential Backoff And Jitter",
AWS Architecture Blog).
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from keras_lm.serving.client.errors import ClientError, DeadlineError

Found = TypeVar("Found")

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0


class RefusedError(Exception):
    """The server took no request: it may be sent again.

    Args:
        error: what the caller is told when no try is left.
        wait: seconds that the server asks for. None: it says nothing.
    """

    def __init__(self, error: ClientError, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.wait = error, wait


class Deadline:
    """The moment when an answer is of no use any more.

    Args:
        seconds: from now on. None: never.
        model: for the error.
    """

    def __init__(self, seconds: float | None, model: str) -> None:
        self._seconds, self._model = seconds, model
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Seconds. None: any number.

        Raises:
            DeadlineError: none.
        """
        if self._end is None:
            return None
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.passed()
        return left

    def passed(self) -> DeadlineError:
        """The error."""
        message = f"There was no answer within {self._seconds} seconds"
        return DeadlineError("DEADLINE_EXCEEDED", message, self._model)


def with_retries(send: Callable[[], Found], retries: int, deadline: Deadline) -> Found:
    """Sends a request, and again as long as it is refused.

    Args:
        send: sends it once; raises `RefusedError` where it may be sent again.
        retries: how many times more.
        deadline: of all tries; a wait that would last beyond it is not begun.

    Returns:
        What `send` gives.

    Raises:
        ClientError: the last refusal's, or any other that `send` raises.
    """
    for count in range(retries + 1):
        try:
            return send()
        except RefusedError as refused:
            wait = random.uniform(0, min(_LONGEST_WAIT, _FIRST_WAIT * 2**count))
            wait = max(wait, refused.wait or 0.0)
            left = deadline.left()
            if count == retries or (left is not None and wait >= left):
                raise refused.error from None
            time.sleep(wait)
    raise AssertionError("unreachable")
