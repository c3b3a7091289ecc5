"""One text that is to be continued, and what is told of it."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from keras_lm.serving.server.statuses import ServingError

RUNNING = 0


class Told(NamedTuple):
    """News of a row.

    Attributes:
        piece: what is new of its text, whole characters.
        reason: 0: it goes on. Else a `keras_lm.generation.Reason`.
        status: of the row, see `keras_lm.models.limits`.
        prompt_ids: of what was read.
        token_ids: the new ones so far.
        error: why it has no more text.
    """

    piece: str = ""
    reason: int = RUNNING
    status: int = 0
    prompt_ids: Sequence[int] = ()
    token_ids: Sequence[int] = ()
    error: ServingError | None = None


@dataclasses.dataclass(eq=False)
class Row:
    """One text that is to be continued.

    Attributes:
        prompt: a text or ids.
        options: of the signature `prefill`, by name; what is not there is 0.
        tell: called from the engine's thread with what is new; after `reason` or `error` no more.
        deadline: in `time.monotonic`'s seconds. None: none.
        in_pieces: whether news are wanted before the end.
    """

    prompt: bytes | Sequence[int]
    options: Mapping[str, float]
    tell: Callable[[Told], None]
    deadline: float | None = None
    in_pieces: bool = True
    is_over: bool = False
    count: int = 0
    arrived: float = dataclasses.field(default_factory=time.monotonic)

    @property
    def prefill(self) -> str:
        """The signature that reads it."""
        return "prefill" if isinstance(self.prompt, bytes) else "prefill_ids"
