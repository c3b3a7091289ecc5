"""A peer of a benchmark: a process of its own that does its work when it is asked to.

Each has all cores while the others wait, and its own TensorFlow or torch; what it held at most in
memory is its own, too. Knows nothing of what is measured.
"""

import multiprocessing
import pathlib
import re
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


class Peer:
    """Starts the process and waits until it is ready.

    Args:
        prepare: a function of a module; makes, in the process, what is called for each question.
        *arguments: what `prepare` gets.

    Raises:
        ImportError: a package that it needs is not installed.
    """

    def __init__(self, prepare: Callable[..., Callable[..., Any]], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(prepare, arguments, theirs), daemon=True
        )
        self._process.start()
        self._receive()

    def ask(self, *what: Any) -> Any:
        """Returns what the peer answers, and raises what it raised."""
        self._pipe.send(what)
        return self._receive()

    def peak_megabytes(self) -> float:
        """What the process has held at most, as Linux tells it."""
        status = pathlib.Path(f"/proc/{self._process.pid}/status").read_text("ascii")
        match = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(match[1]) / 1024 if match else float("nan")

    def end(self) -> None:
        """Ends the process."""
        self._pipe.send(None)
        self._process.join()

    def _receive(self) -> Any:
        answer = self._pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


def _serve(prepare: Callable[..., Any], arguments: tuple, pipe: Connection) -> None:
    try:
        act = prepare(*arguments)
        pipe.send(None)
    except Exception as error:
        pipe.send(error)
        return
    while (asked := pipe.recv()) is not None:
        try:
            pipe.send(act(*asked))
        except Exception as error:
            pipe.send(error)
