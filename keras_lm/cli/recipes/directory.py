"""What lies in the directory of a recipe: the recipe itself, which says what may go on there.

`config.yaml` is the recipe with all defaults; beside it lie `tokenizer/`, `checkpoints/`, the logs
of `keras_lm.training.Monitor`, and at the end `model.keras`.
"""

import os
import pathlib
from collections.abc import Iterator
from typing import Any

from keras_lm.cli.recipes.reading import read_recipe, to_yaml
from keras_lm.version import __version__

CONFIG = "config.yaml"
# What a training may go on without or with: none of it changes a number of the training.
_FREE = ("strategy", "monitoring", "checkpoints")


def claim(recipe: Any) -> bool:
    """Writes the recipe into its directory, or finds it there.

    The file stands under another name until it is whole.

    Returns:
        Whether a training was begun there.

    Raises:
        ValueError: another training was begun there; what differs is named.
        OSError: the directory cannot be made or written.
    """
    begun = compare(recipe)
    directory = pathlib.Path(recipe.directory)
    directory.mkdir(parents=True, exist_ok=True)
    beside = directory / f"{CONFIG}.new"
    head = f"# Written by keras-lm pretrain, keras_lm {__version__}.\n"
    beside.write_text(head + to_yaml(recipe), encoding="utf-8")
    os.replace(beside, directory / CONFIG)
    return begun


def compare(recipe: Any) -> bool:
    """Says whether the recipe's directory holds a training, which must be this one.

    Raises:
        ValueError: it is another one.
    """
    path = pathlib.Path(recipe.directory) / CONFIG
    if not path.exists():
        return False
    there = read_recipe(path)
    others = [
        f"{key}: {_told(old)} there, {_told(new)} here"
        for key, old, new in _differences(
            there.model_dump(by_alias=True), recipe.model_dump(by_alias=True)
        )
    ]
    if others:
        raise ValueError(
            "\n  ".join(
                [
                    f"{recipe.directory} holds a training of another recipe, which can go on as "
                    "it was begun alone; take another directory. It differs in",
                    *others,
                ]
            )
        )
    return True


def _differences(there: Any, here: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(there, dict) and isinstance(here, dict):
        for name in dict.fromkeys((*there, *here)):
            if key or name not in (*_FREE, "directory"):
                inside = f"{key}.{name}" if key else name
                yield from _differences(there.get(name), here.get(name), inside)
    elif there != here:
        yield key, there, here


def _told(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
