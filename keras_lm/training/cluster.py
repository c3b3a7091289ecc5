"""The processes of a training, as TF_CONFIG names them: read, checked and waited for.

Knows no TensorFlow: it must be done before TensorFlow's first operation.
"""

import contextlib
import dataclasses
import errno
import json
import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any

_FORM = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
_TRIED_EVERY = 0.2  # seconds
_SAID_AFTER = 10.0
_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a training and which of them this process is.

    Attributes:
        workers: each worker's address by its name, `"worker 0"`, the chief first.
        me: the name of this one.
    """

    workers: dict[str, str]
    me: str

    @property
    def address(self) -> str:
        """The address of this worker."""
        return self.workers[self.me]


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """Reads the environment variable TF_CONFIG.

    Returns:
        None where it is not set, or names no cluster.

    Raises:
        ValueError: it is no JSON, or does not say who the workers are and which of them this is.
    """
    text = environment.get("TF_CONFIG", "")
    if not text.strip():
        return None
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"TF_CONFIG must be JSON, {_FORM}. Received: {text!r} ({error})") from None
    if not isinstance(config, dict):
        raise _malformed("TF_CONFIG must be an object", text)
    if not config.get("cluster"):
        return None
    cluster, task = config["cluster"], config.get("task")
    if not isinstance(cluster, dict) or not set(cluster) <= {"chief", "worker"}:
        raise _malformed('The cluster of TF_CONFIG must have "worker", and may have "chief"', text)
    workers = {
        f"{kind} {i}": address
        for kind in ("chief", "worker")
        for i, address in enumerate(_addresses(cluster.get(kind, []), text))
    }
    if len(set(workers.values())) < len(workers) or len(cluster.get("chief", [])) > 1:
        raise _malformed("Each worker must have an address of its own, and one is the chief", text)
    if not isinstance(task, dict) or not {"type", "index"} <= set(task):
        raise _malformed('TF_CONFIG must have a "task" with a "type" and an "index"', text)
    me = f"{task['type']} {task['index']}"
    if me not in workers:
        raise _malformed(
            f"The task of TF_CONFIG must be one of {', '.join(workers)}, but is {me}", text
        )
    return Cluster(workers, me)


def _addresses(addresses: Any, text: str) -> list[str]:
    if not isinstance(addresses, list):
        raise _malformed("Addresses in TF_CONFIG must be a list", text)
    for address in addresses:
        if not isinstance(address, str) or not _is_port(address.rpartition(":")[2]):
            raise _malformed('Addresses in TF_CONFIG must be "host:port"', text)
        if not address.rpartition(":")[0]:
            raise _malformed('Addresses in TF_CONFIG must be "host:port"', text)
    return addresses


def _is_port(text: str) -> bool:
    return text.isdecimal() and 0 < int(text) < 2**16


def _malformed(rule: str, text: str) -> ValueError:
    return ValueError(f"{rule}; the form is {_FORM}. Received: TF_CONFIG={text!r}")


def wait_for_workers(cluster: Cluster, timeout: float) -> None:
    """Returns when every worker can be reached.

    TensorFlow itself would wait for ever. This worker's port is open meanwhile, so that the others
    find it.

    Args:
        cluster: of `read_cluster`.
        timeout: seconds.

    Raises:
        ValueError: the port of this worker is taken.
        TimeoutError: a worker did not come in time.
    """
    missing = [name for name in cluster.workers if name != cluster.me]
    start = time.monotonic()
    said = False
    with _listening(cluster):
        while missing := [name for name in missing if not _answers(cluster.workers[name])]:
            waited = time.monotonic() - start
            names = ", ".join(f"{name} ({cluster.workers[name]})" for name in missing)
            if waited >= timeout:
                raise TimeoutError(
                    f"Every worker of TF_CONFIG must come within {timeout:g} s. Received: nothing "
                    f"from {names}; this is {cluster.me} ({cluster.address})"
                )
            if waited >= _SAID_AFTER and not said:
                said = True
                _LOG.warning("%s waits for %s, %g s at most", cluster.me, names, timeout)
            time.sleep(min(_TRIED_EVERY, max(timeout - waited, 0)))


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


@contextlib.contextmanager
def _listening(cluster: Cluster) -> Iterator[None]:
    host, port = _split(cluster.address)
    # A host's name may be that of a service in front of this machine, so all interfaces else.
    local = host == "localhost" or host.startswith("127.")
    try:
        server = socket.create_server(("127.0.0.1" if local else "", port), backlog=128)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise ValueError(
            f"The port of {cluster.me} must be free on this machine. Received: {cluster.address}, "
            f"port {port}: {error.strerror}"
        ) from None
    with server:
        yield


def _answers(address: str) -> bool:
    try:
        with socket.create_connection(_split(address), timeout=1.0):
            return True
    except OSError:  # not there yet; its name may not be either
        return False
