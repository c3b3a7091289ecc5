"""Rows that cannot be learnt from: they raise, or are left out and listed."""

import contextlib
from collections.abc import Iterator, Sized


class BadRowError(ValueError):
    """A row that cannot be learnt from; says the rule, what was received and its place."""


class BadRows:
    """What is done with bad rows.

    Args:
        bad_rows: "raise" or "drop".

    Attributes:
        dropped: what was wrong with each row that was left out.

    Raises:
        ValueError: it is neither.
    """

    def __init__(self, bad_rows: str) -> None:
        if bad_rows not in ("raise", "drop"):
            raise ValueError(f'bad_rows must be "raise" or "drop". Received: bad_rows={bad_rows!r}')
        self.dropped: list[str] = []
        self._raises = bad_rows == "raise"

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Lists what is raised within, and ends the block; or lets it pass.

        Raises:
            BadRowError: bad rows raise.
        """
        try:
            yield
        except BadRowError as error:
            if self._raises:
                raise
            self.dropped.append(str(error))

    def require(self, kept: Sized, files: object = None, kind: str = "row") -> None:
        """Raises ValueError where nothing is left of some files, or of `rows=`."""
        if not kept:
            received = "none" if files is None else f"none in {files!s:.200}"
            if self.dropped:
                received = f"{len(self.dropped):,} bad; the first: {self.dropped[0]}"
            raise ValueError(f"There must be a {kind} at least. Received: {received}")
