"""Becomes a command that ends with the process that started it, even if that one is killed.

    python tied.py COMMAND...

Linux tells it SIGTERM then, on which a training saves and ends; elsewhere it is the command and no
more. Run as a file, it imports nothing of this package: a worker is not kept waiting.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h; it outlives exec


def become(command: list[str]) -> None:
    """Replaces this process by the command."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # gone before this was arranged
            sys.exit(128 + signal.SIGTERM)
    os.execvp(command[0], command)


if __name__ == "__main__":
    become(sys.argv[1:])
