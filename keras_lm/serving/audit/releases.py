"""Which TensorFlow release knows which operation.

The table was read out of the C++ library of a wheel of every minor release from 2.12 on, see
`tests/serving/make_operations.py`. What came before 2.12 counts as 2.12.
"""

import functools
import json
import pathlib
from collections.abc import Iterable
from typing import NamedTuple

_TABLE = pathlib.Path(__file__).parents[1] / "tables" / "operations.json"


class Releases(NamedTuple):
    """The table.

    Attributes:
        names: the releases, oldest first.
        operations: the place in `names` of the first release with an operation, by its name.
        attributes: the same for attributes that an operation got later.
        text: what tensorflow-text adds; it must be linked into the server, of the same release.
    """

    names: tuple[str, ...]
    operations: dict[str, int]
    attributes: dict[str, dict[str, int]]
    text: frozenset[str]

    def since(self, operation: str, attributes: Iterable[str] = ()) -> int | None:
        """The place of the first release that knows an operation with these attributes.

        Args:
            operation: its name.
            attributes: those of its attributes that differ from their defaults.

        Returns:
            None for an operation that no release has.
        """
        if operation not in self.operations:
            return None
        later = self.attributes.get(operation, {})
        return max([self.operations[operation], *(later.get(name, 0) for name in attributes)])

    def minor(self, place: int) -> str:
        """A release as `2.12`."""
        return ".".join(self.names[place].split(".")[:2])

    def place(self, release: str) -> int:
        """The place of a release such as `2.12` or `2.12.1`.

        Raises:
            ValueError: it is not in the table.
        """
        for place, name in enumerate(self.names):
            if release in (name, self.minor(place)):
                return place
        known = ", ".join(self.minor(place) for place in range(len(self.names)))
        raise ValueError(f"Releases that are known are {known}. Received: {release}")


@functools.cache
def releases() -> Releases:
    """Reads the table, once."""
    table = json.loads(_TABLE.read_text("ascii"))
    places = {name: place for place, name in enumerate(table["releases"])}
    return Releases(
        tuple(places),
        {op: places[name] for name, ops in table["operations"].items() for op in ops},
        {
            op: {attribute: places[name] for attribute, name in later.items()}
            for op, later in table["attributes"].items()
        },
        frozenset(table["tensorflow-text"]),
    )
