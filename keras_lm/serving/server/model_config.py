"""Which models and versions are to be served: directories, or TensorFlow Serving's models.config.

Reads names and numbers of directories; loads nothing.
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_LARGEST = 2**63 - 1


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A model, where its versions are, and which of them are wanted.

    Attributes:
        name: what requests call it: letters, digits, "_", "." and "-".
        directory: with a directory for each version, named by a number.
        latest: serve so many of the newest versions. None: see `specific`.
        specific: serve these. None: all that are there, where `latest` is None too.
        labels: versions by label.
    """

    name: str
    directory: pathlib.Path
    latest: int | None = 1
    specific: tuple[int, ...] | None = None
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise ValueError(
                "A model's name must have letters, digits, _ . - alone, at most 128, and begin "
                f"with a letter, a digit or _. Received: {self.name!r}"
            )

    def wanted(self) -> dict[int, pathlib.Path]:
        """The directories of the versions to serve.

        Raises:
            OSError: the directory cannot be read.
        """
        found: dict[int, pathlib.Path] = {}
        for child in sorted(self.directory.iterdir()):
            version = _version(child.name)
            if version is not None and child.is_dir():
                found[version] = child
        if self.specific is not None:
            return {v: path for v, path in found.items() if v in self.specific}
        if self.latest is not None:
            return {version: found[version] for version in sorted(found)[-self.latest :]}
        return found


def is_name(name: str) -> bool:
    """Whether a model may be called so."""
    return _NAME.fullmatch(name) is not None


def in_directory(directory: str | os.PathLike) -> list[ModelConfig]:
    """The models in a directory: `NAME/VERSION/`, or of one model itself: `VERSION/`.

    Raises:
        OSError: the directory cannot be read.
    """
    directory = pathlib.Path(directory).absolute()
    if not directory.is_dir():
        raise NotADirectoryError(f"Models must be in a directory. Received: {directory}")
    children = [child for child in sorted(directory.iterdir()) if child.is_dir()]
    if any(_version(child.name) is not None and _is_saved_model(child) for child in children):
        return [ModelConfig(directory.name, directory)]
    return [
        ModelConfig(child.name, child)
        for child in children
        if is_name(child.name) and any(_version(v.name) is not None for v in child.iterdir())
    ]


def read(path: str | os.PathLike) -> list[ModelConfig]:
    """Reads a `models.config`: a ModelServerConfig in protobuf's text format.

    A `base_path` that is not absolute begins at the file's directory.

    Raises:
        ValueError: it is not in the format, or says what cannot be.
        OSError: it cannot be read.
    """
    path = pathlib.Path(path)
    message = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), message)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(
            "A file of models holds TensorFlow Serving's ModelServerConfig in protobuf's text "
            f"format. Received: {path}: {error}"
        ) from error
    if message.WhichOneof("config") != "model_config_list":
        raise ValueError(f"A file of models must have a model_config_list. Received: {path}")
    return from_messages(message.model_config_list.config, path.absolute().parent)


def from_messages(messages: Iterable[Any], root: pathlib.Path) -> list[ModelConfig]:
    """The same of ModelConfig messages.

    Raises:
        ValueError: they say what cannot be.
    """
    found: dict[str, ModelConfig] = {}
    for message in messages:
        if message.name in found:
            raise ValueError(f"Illegal to list model {message.name} multiple times in config list")
        if message.model_platform not in ("", "tensorflow"):
            raise ValueError(
                f"model_platform must be tensorflow. Received: {message.model_platform}, "
                f"of model {message.name}"
            )
        if not message.base_path:
            raise ValueError(f"A model must have a base_path. Received: none, {message.name}")
        latest, specific = _policy(message.model_version_policy)
        found[message.name] = ModelConfig(
            message.name,
            root / message.base_path,
            latest,
            specific,
            dict(message.version_labels),
        )
    return list(found.values())


def _policy(policy: Any) -> tuple[int | None, tuple[int, ...] | None]:
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return None, None
    if choice == "specific":
        return None, tuple(policy.specific.versions)
    return max(1, policy.latest.num_versions), None


def _version(name: str) -> int | None:
    """The number that a directory is named by. Leading zeros are allowed, signs are not."""
    if not (name.isascii() and name.isdecimal()) or len(name) > 20:
        return None
    return int(name) if int(name) <= _LARGEST else None


def _is_saved_model(path: pathlib.Path) -> bool:
    return (path / "saved_model.pb").exists()
