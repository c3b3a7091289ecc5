"""What carries requests: the same four questions over each protocol."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np

from keras_lm.serving.client.metadata import Signature, VersionStatus
from keras_lm.serving.client.retrying import Deadline

Arrays = dict[str, np.ndarray]


class Target(NamedTuple):
    """Who is asked.

    Attributes:
        model: a name.
        version: a number. None: the newest, or that of the label.
        label: such as "stable". None: no label.
    """

    model: str
    version: int | None = None
    label: str | None = None


class Transport(Protocol):
    """Sends one request at a time from any thread; each may raise `RefusedError`."""

    def predict(
        self,
        target: Target,
        name: str,
        signature: Signature,
        inputs: Mapping[str, np.ndarray],
        deadline: Deadline,
    ) -> Arrays:
        """The outputs of a signature; strings as arrays of str, of `..._bytes` of bytes."""

    def signatures(self, target: Target, deadline: Deadline) -> dict[str, Signature]:
        """What can be asked."""

    def statuses(self, target: Target, deadline: Deadline) -> list[VersionStatus]:
        """The versions."""

    def close(self) -> None:
        """Closes its connections."""
