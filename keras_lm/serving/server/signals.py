"""What a process does when it is told to end."""

import contextlib
import signal
from collections.abc import Callable, Iterator

_ENDS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def told_to_end(handler: Callable[[int], None]) -> Iterator[None]:
    """Gives SIGTERM and SIGINT to a handler, and then back to who had them before.

    Args:
        handler: takes the signal's number. The next signal ends the process at once.
    """

    def handle(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        handler(number)

    before = {number: signal.signal(number, handle) for number in _ENDS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
