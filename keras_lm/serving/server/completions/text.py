"""Ends a growing text at the first of the texts that a client named."""

from collections.abc import Sequence


class StoppedText:
    """What may be told of a text that comes in pieces.

    The stop that is complete first ends it, of those that are complete at the same character the
    longest; so what is told does not depend on where pieces end. What may be the beginning of a
    stop waits.

    Args:
        stops: texts at which it ends; they are not part of it.

    Attributes:
        is_stopped: whether one of them came.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self.is_stopped = False

    def add(self, piece: str) -> str:
        """Takes what is new; gives what may be told."""
        if self.is_stopped:
            return ""
        text = self._held + piece
        places = [(text.find(stop), stop) for stop in self._stops]
        ends = [(place + len(stop), place) for place, stop in places if place >= 0]
        if ends:
            self.is_stopped, self._held = True, ""
            return text[: min(ends)[1]]
        begun = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - begun :]
        return text[: len(text) - begun]

    def rest(self) -> str:
        """What waits, when nothing more comes."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of a text are the beginning of a stop."""
    for size in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
