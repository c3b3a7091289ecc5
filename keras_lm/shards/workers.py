"""Worker processes that write shards.

Each is a Python of its own with `python -m keras_lm.shards.workers`, not one of `multiprocessing`:
that would run the caller's script again in every worker, and copies of a process in which
TensorFlow runs threads may hang.
"""

import contextlib
import os
import pathlib
import pickle
import queue
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from keras_lm.shards.encoding import Encoding
from keras_lm.shards.writing import Report, write_shard

_ROOT = pathlib.Path(__file__).parents[2]


class Workers:
    """So many processes, each writing one shard at a time. A context.

    Args:
        number: of processes.
        directory: see `write_shard`.
        encoding: see there.
    """

    def __init__(self, number: int, directory: pathlib.Path, encoding: Encoding):
        self._processes: list[subprocess.Popen] = []
        self._free: queue.SimpleQueue[subprocess.Popen] = queue.SimpleQueue()
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        # The processes are the parallelism.
        environment = {**os.environ, "PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "false"}
        for _ in range(number):
            process = subprocess.Popen(
                # Without -P what lies in the working directory would come before the package.
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
            )
            self._processes.append(process)
            _send(process.stdin, (directory, encoding))
            self._free.put(process)

    def write(self, name: str, documents: Sequence[Sequence[str]]) -> Report:
        """Writes a shard in a process that is free; waits for it. Threads may call it.

        Raises:
            OSError: what the process raised, or it ended.
        """
        process = self._free.get()
        try:
            try:
                _send(process.stdin, (name, documents))
                result = pickle.load(process.stdout)  # type: ignore[arg-type]
            except (EOFError, OSError, pickle.UnpicklingError) as error:
                raise OSError(
                    f"A worker process must live until its shard is written. Received: one that "
                    f"ended with status {process.wait()} at shard {name}"
                ) from error
        finally:
            self._free.put(process)
        if isinstance(result, BaseException):
            raise result
        return result

    def __enter__(self) -> "Workers":
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the processes; what they have not finished is left out."""
        for process in self._processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):  # what it never read
                    pipe.close()  # type: ignore[union-attr]


def _send(file: Any, value: Any) -> None:
    pickle.dump(value, file, pickle.HIGHEST_PROTOCOL)
    file.flush()


def _work() -> None:
    """Writes the shards that come in, until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent has it, too, and ends this process
    jobs, results = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no result
    directory, encoding = pickle.load(jobs)
    while True:
        try:
            name, documents = pickle.load(jobs)
        except (EOFError, pickle.UnpicklingError):
            return  # the parent is done, or gone
        try:
            result: Any = write_shard(directory, name, documents, encoding)
        except Exception as error:  # the parent raises it
            result = error
        _send(results, result)


if __name__ == "__main__":
    _work()
