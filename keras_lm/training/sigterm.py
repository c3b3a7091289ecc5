"""SIGTERM, which asks a process to end, as something that can be looked at when there is time."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

STATUS = 128 + signal.SIGTERM  # the exit status, as shells give it


@contextlib.contextmanager
def noted(note: Callable[[], None]) -> Iterator[None]:
    """Calls a function when SIGTERM comes, in place of what would be done.

    What would be done is done behind the block, unless that ends by an exception. In a thread that
    is not the main one nothing is changed: Python gives signals to that one alone.

    Args:
        note: called between two instructions of the main thread; it should only make a note.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    came = False

    def handler(number: int, frame: Any) -> None:
        nonlocal came
        came = True
        note()

    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
    if came:
        signal.raise_signal(signal.SIGTERM)
