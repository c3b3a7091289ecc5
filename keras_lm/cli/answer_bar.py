"""A bar on standard error while texts are answered; nothing where that is no terminal.

Standard output is for the answers alone.
"""

import sys
from types import TracebackType

from tqdm import tqdm


class AnswerBar:
    """Shows how many texts are answered, in what time; to be used in a `with` statement.

    Args:
        total: how many there are. None: `tell` says it.
    """

    def __init__(self, total: int | None = None) -> None:
        hidden = not sys.stderr.isatty()
        self._bar = tqdm(total=total, unit=" texts", file=sys.stderr, disable=hidden)
        self._before = 0

    def __enter__(self) -> "AnswerBar":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()

    def tell(self, answered: int, asked: int) -> None:
        """Shows a batch, as `verbose=` of `predict` tells it.

        Args:
            answered: texts of this call.
            asked: texts of this call.
        """
        if self._bar.total is None:
            self._bar.total = asked
        self._bar.update(self._before + answered - self._bar.n)

    def next_call(self) -> None:
        """Says that the texts of the next call come behind those that are answered."""
        self._before = self._bar.n

    def clear(self) -> None:
        """Makes room for lines on the same terminal; the next batch draws the bar anew."""
        self._bar.clear()
