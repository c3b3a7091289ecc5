"""JSON files that hold one object."""

import json
import pathlib
from typing import Any


def read_object(path: pathlib.Path) -> dict[str, Any] | None:
    """The object that a file holds, or None where there is no file.

    Raises:
        ValueError: it holds something else.
    """
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text("utf-8"))
    except ValueError as error:  # also what is not UTF-8
        raise ValueError(
            f"{path.name} must be JSON in UTF-8. Received: {str(path)!r}, {error}"
        ) from error
    if not isinstance(value, dict):
        raise ValueError(
            f"{path.name} must hold one object. "
            f"Received: {str(path)!r} with a {type(value).__name__}"
        )
    return value
