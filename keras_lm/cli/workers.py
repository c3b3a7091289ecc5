"""Several processes on this machine that train together: started, listened to, ended, restarted.

Knows no TensorFlow: what the processes must know stands in the environment variable TF_CONFIG.
"""

import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO

# Below the ports that systems give to outgoing connections, above those of services.
_PORTS = range(20_000, 32_000)
_LOOKED_EVERY = 0.1  # seconds
_TIED = pathlib.Path(__file__).with_name("tied.py")
# What the others have to notice by themselves that one is gone, and to say so.
_LEFT_ALONE = 5.0


class Workers:
    """One command in several processes, each a worker of one cluster.

    Lines of their output come prefixed with their number. They end together: where one ends with
    an error, the others are told to (SIGTERM), and after a while made to (SIGKILL). Where this
    process is killed, Linux tells all of them to.

    Args:
        command: what each of them runs.
        number: of workers.
        max_restarts: how many times all of them are started again.
        grace: seconds between SIGTERM and SIGKILL.

    Raises:
        ValueError: a number is out of range, there is no such command, or TF_CONFIG names a
            cluster already.
    """

    def __init__(
        self, command: Sequence[str], *, number: int, max_restarts: int = 0, grace: float = 30.0
    ) -> None:
        for name, value, least in (("workers", number, 1), ("max-restarts", max_restarts, 0)):
            if value < least:
                raise ValueError(f"--{name} must be at least {least}. Received: --{name} {value}")
        if grace < 0:
            raise ValueError(f"--grace must be at least 0. Received: --grace {grace:g}")
        if not command:
            raise ValueError(
                "A command must follow: keras-lm launch --workers 2 -- python train.py. "
                "Received: none"
            )
        if shutil.which(command[0]) is None:
            raise ValueError(f"The command must be one that can be run. Received: {command[0]!r}")
        if os.environ.get("TF_CONFIG"):
            raise ValueError(
                "launch makes the cluster of one machine; where TF_CONFIG names one already, run "
                f"the command itself. Received: TF_CONFIG={os.environ['TF_CONFIG']!r}"
            )
        self._command, self._number = list(command), number
        self._max_restarts, self._grace = max_restarts, grace
        self._signal: int | None = None

    def run(self) -> int:
        """Runs them until all have ended.

        SIGTERM and SIGINT are passed on, and nothing is restarted then.

        Returns:
            0 if all ended well; else the status of the one that ended first with another, as
            shells give it: 128 and the signal where one ended it.
        """
        before = {
            number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            for restarts in range(self._max_restarts + 1):
                status = self._run_once()
                if status == 0 or self._signal is not None:
                    return status
                if restarts < self._max_restarts:
                    _say(f"starting all workers again ({restarts + 1} of {self._max_restarts})")
            return status
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: object) -> None:
        self._signal = number

    def _run_once(self) -> int:
        processes: list[subprocess.Popen[bytes]] = []
        readers = []
        try:
            for environment in environments(self._number, os.environ):
                process = subprocess.Popen(
                    [sys.executable, "-S", _TIED, *self._command],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    # A group of its own: what it starts ends with it, and a terminal's Ctrl-C
                    # comes to it from here alone.
                    start_new_session=True,
                )
                reader = threading.Thread(
                    target=_copy, args=(process.stdout, f"[{len(processes)}] "), daemon=True
                )
                processes.append(process)
                readers.append(reader)
                reader.start()
            return self._watch(processes)
        finally:
            for process in processes:
                _send(process, signal.SIGKILL)  # what is left of its group, too
                process.wait()
            for reader in readers:
                reader.join(timeout=5)

    def _watch(self, processes: Sequence[subprocess.Popen[bytes]]) -> int:
        """Waits for all to end; ends the others when one ends badly."""
        failed = None
        told, tell_at, kill_at = False, float("inf"), float("inf")
        while any(process.poll() is None for process in processes):
            now = time.monotonic()
            ended_badly = [process for process in processes if process.poll()]
            if ended_badly and failed is None:
                failed = ended_badly[0]
                tell_at, kill_at = now + _LEFT_ALONE, min(kill_at, now + self._grace)
                if self._signal is None:
                    _say(f"worker {processes.index(failed)} {_said(failed)}; the others end too")
            if not told and (self._signal is not None or now >= tell_at):
                told, kill_at = True, min(kill_at, now + self._grace)
                for process in processes:
                    _send(process, self._signal or signal.SIGTERM)
            if now >= kill_at:
                kill_at = float("inf")
                for i, process in enumerate(processes):
                    if process.poll() is None:
                        _say(f"worker {i} did not end within {self._grace:g} s and is killed")
                        _send(process, signal.SIGKILL)
            time.sleep(_LOOKED_EVERY)
        if failed is None:  # all have ended since one looked
            failed = next((process for process in processes if process.poll()), None)
            if failed is not None and self._signal is None:
                _say(f"worker {processes.index(failed)} {_said(failed)}")
        return 0 if failed is None else _status(failed)


def environments(number: int, base: Mapping[str, str]) -> list[dict[str, str]]:
    """Returns the environment of each of several workers on this machine.

    Each gets TF_CONFIG with free ports. Where CUDA_VISIBLE_DEVICES names as many GPUs or a multiple
    of it, each gets its share of them; TensorFlow would else take all of them in each.

    Args:
        number: of workers.
        base: the environment that they share.
    """
    addresses = [f"localhost:{port}" for port in free_ports(number)]
    gpus = [name for name in base.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    share = len(gpus) // number if len(gpus) % number == 0 else 0
    made = []
    for i in range(number):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}}
        # Lines shall come as they are written, not when a buffer is full.
        own = {**base, "TF_CONFIG": json.dumps(config), "PYTHONUNBUFFERED": "1"}
        if share:
            own["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[i * share : (i + 1) * share])
        made.append(own)
    return made


def free_ports(number: int) -> list[int]:
    """Returns different ports that nobody has at the moment.

    Raises:
        OSError: there are not so many.
    """
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if len(found) == number:
            return found
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
                found.append(port)
            except OSError:
                continue
    raise OSError(f"There must be {number} free ports in {_PORTS}. Received: {len(found)}")


def _copy(source: IO[bytes] | None, prefix: str) -> None:
    """Copies lines to the output, each whole and with a prefix."""
    assert source is not None
    with source:
        for line in source:
            text = prefix + line.decode(errors="replace").rstrip("\n") + "\n"
            sys.stdout.write(text)
            sys.stdout.flush()


def _send(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # all of the group have ended
        os.killpg(process.pid, number)


def _status(process: subprocess.Popen[bytes]) -> int:
    code = process.returncode
    return code if code >= 0 else 128 - code


def _said(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    if code >= 0:
        return f"ended with status {code}"
    return f"was ended by {signal.Signals(-code).name}"


def _say(text: str) -> None:
    print(f"keras-lm launch: {text}", file=sys.stderr, flush=True)
