"""A recipe is read from YAML and `key=value`, and checked as a whole: all errors at once."""

import difflib
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ruamel.yaml
from pydantic import ValidationError

from keras_lm.cli.recipes.checks import contradictions
from keras_lm.cli.recipes.sections import recipe_class


def read_recipe(path: str | os.PathLike, changes: Sequence[str] = ()) -> Any:
    """Reads a recipe and checks it.

    Args:
        path: a YAML file (1.2: `1e-4` is a number, `no` a text).
        changes: `key=value`, such as "optimizer.learning_rate=1e-3"; the value is YAML, too.

    Returns:
        The recipe, with all defaults; its sections are attributes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no YAML, or no recipe; each error is a line of the message.
    """
    with open(path, encoding="utf-8") as file:
        raw = _yaml(file.read(), os.fspath(path))
    if not isinstance(raw, dict):
        raise ValueError(f"A recipe is a mapping of keys. Received: {os.fspath(path)}, {raw!r:.40}")
    for change in changes:
        _apply(raw, change)
    return checked(raw, os.fspath(path))


def checked(raw: Mapping[str, Any], name: str) -> Any:
    """Makes a recipe of what stands in a file.

    Args:
        raw: keys and values.
        name: of the file, for messages.

    Raises:
        ValueError: it is none; each error is a line of the message.
    """
    kind = recipe_class(raw)
    try:
        # Through JSON, where a list may become a tuple, and nothing else becomes what it is not.
        recipe = kind.model_validate_json(json.dumps(raw, default=str))
    except ValidationError as error:
        lines = _lines(error.errors(), raw, kind)
    else:
        lines = contradictions(recipe)
    if lines:
        number = f"{len(lines)} errors" if len(lines) > 1 else "an error"
        raise ValueError("\n  ".join([f"{name} has {number}:", *lines]))
    return recipe


def to_yaml(recipe: Any) -> str:
    """Writes a recipe with all its defaults."""
    stream = io.StringIO()
    ruamel.yaml.YAML().dump(recipe.model_dump(mode="json", by_alias=True), stream)
    return stream.getvalue()


def _yaml(text: str, what: str) -> Any:
    try:
        return ruamel.yaml.YAML(typ="safe", pure=True).load(text)
    except ruamel.yaml.error.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where is not None else ""
        problem = getattr(error, "problem", None) or error
        raise ValueError(f"A recipe is YAML. Received: {what}{line}: {problem}") from None


def _apply(raw: dict[str, Any], change: str) -> None:
    key, equals, value = change.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ValueError(f"A change has the form section.key=value. Received: {change!r}")
    section = raw
    for part in parts[:-1]:
        if section.get(part) is None:
            section[part] = {}
        section = section[part]
        if not isinstance(section, dict):
            raise ValueError(f"{part} must be a section to have keys. Received: {change!r}")
    section[parts[-1]] = _yaml(value, repr(change))


def _lines(errors: Iterable[Any], raw: Any, kind: Any) -> list[str]:
    """Says each error in a line; those of the branches of one key in one."""
    found: dict[str, tuple[list[str], Any]] = {}
    for error in errors:
        path = _path(error["loc"], raw, missing=error["type"] in ("missing", "extra_forbidden"))
        key = ".".join(map(str, path))
        if error["type"] == "extra_forbidden":
            message = _unknown(path, kind)
        elif error["type"] == "missing":
            message = "is missing"
        else:
            message = error["msg"].replace("Input should be", "must be")
            message = message.replace("an object", "a section")
        found.setdefault(key, ([], error["input"]))[0].append(message)
    lines = []
    for key, (messages, received) in found.items():
        told = " or ".join(dict.fromkeys(messages)).replace(" or must be", " or")
        if not told.startswith(("is missing", "is no key")):
            told += f". Received: {received!r:.60}"
        lines.append(f"{key} {told}")
    return lines


def _path(place: tuple[Any, ...], raw: Any, missing: bool) -> tuple[Any, ...]:
    """The part of a place that is in the file, without the names of types behind it."""
    for depth, part in enumerate(place):
        try:
            raw = raw[part]
        except (KeyError, TypeError, IndexError):
            return place[: depth + 1] if missing else place[:depth]
    return place


def _unknown(path: tuple[Any, ...], kind: Any) -> str:
    for part in path[:-1]:
        kind = kind.model_fields[part].annotation
    known = [field.alias or name for name, field in kind.model_fields.items()]
    near = difflib.get_close_matches(str(path[-1]), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(known)}"
    return f"is no key; {hint}"
