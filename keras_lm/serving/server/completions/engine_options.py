"""How an engine is told to run rows together."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class EngineOptions:
    """How rows are run together.

    Attributes:
        slots: rows that are continued together. 0: no engine.
        max_waiting: rows that may wait for a slot; a request that comes then is refused.
        tokens_per_chunk: so many tokens of each row are made before others may join or leave.

    Raises:
        ValueError: a number out of range.
    """

    slots: int = 8
    max_waiting: int = 64
    tokens_per_chunk: int = 4

    def __post_init__(self) -> None:
        for name, least in (("slots", 0), ("max_waiting", 0), ("tokens_per_chunk", 1)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"{name} must be at least {least}. Received: {getattr(self, name)}"
                )
