"""Fetches a model's files from the Hugging Face hub, or finds them in the cache.

The `huggingface_hub` package does it, so its cache, its tokens and HF_HUB_OFFLINE count. Only what
`load` reads is fetched: one format of weights, never a pickle.
"""

import importlib
import pathlib
import re
from typing import Any

from keras_lm.checkpoints.companions import TOKENIZER_FILES
from keras_lm.checkpoints.config import CONFIG, GENERATION
from keras_lm.checkpoints.embedding_modules import FILES, MODULES
from keras_lm.checkpoints.opening import HDF5, PICKLE, REFUSES_PICKLE
from keras_lm.checkpoints.safetensors_files import INDEX, read_index
from keras_lm.checkpoints.safetensors_writing import SINGLE

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def is_name(text: str) -> bool:
    """Says whether a text can be the name of a model: `gpt2`, `google-bert/bert-base-uncased`."""
    return _NAME.fullmatch(text) is not None


def download(name: str) -> pathlib.Path:
    """Fetches what is not in the cache yet.

    Args:
        name: of a model.

    Returns:
        The directory with its files.

    Raises:
        ImportError: `huggingface_hub` is not installed.
        FileNotFoundError: the hub has no such model, or the model has no weights that can be read.
        ConnectionError: the hub can't be reached, and the cache lacks a file.
        ValueError: the model has its weights as a pickle alone, or its index is wrong.
    """
    repository = _Repository(name)
    config = repository.fetch(CONFIG)
    if config is None:
        raise FileNotFoundError(
            f"A model on the hub must have {CONFIG}. Received: {name}, which has none"
        )
    for file in (GENERATION, *TOKENIZER_FILES):
        repository.fetch(file)
    if repository.fetch(MODULES):
        for file in FILES:
            repository.fetch(file)
    _fetch_weights(repository)
    return config.parent


def _fetch_weights(repository: "_Repository") -> None:
    if repository.fetch(SINGLE):
        return
    index = repository.fetch(INDEX)
    if index:
        for file in dict.fromkeys(read_index(index).values()):
            repository.fetch(file)
        return
    if repository.fetch(HDF5):
        return
    repository.check_reached(SINGLE)
    if repository.has(PICKLE):
        raise ValueError(f"{REFUSES_PICKLE}\nReceived: {repository.name}, which has no other file")
    raise FileNotFoundError(
        f"A model on the hub must have {SINGLE}, {INDEX} or {HDF5}. "
        f"Received: {repository.name}, which has none of them"
    )


class _Repository:
    """A model on the hub, in the version that was found first: files of two are never mixed."""

    def __init__(self, name: str) -> None:
        try:
            self._hub = importlib.import_module("huggingface_hub")
        except ImportError:
            raise ImportError(
                "Names of the hub need the extra `hub`: pip install keras_lm[hub]. "
                f"Received: {name}, which is no file or directory here, either"
            ) from None
        self.name = name
        self._errors: Any = importlib.import_module("huggingface_hub.errors")
        self._revision: str | None = None
        # Once it was not reached, nobody waits for it again.
        self._unreached: Exception | None = None

    def fetch(self, file: str) -> pathlib.Path | None:
        """Gives a file's path, or None where the model has no such file."""
        known = self._hub.try_to_load_from_cache(self.name, file, revision=self._revision)
        if self._revision is not None and known is not None:
            return pathlib.Path(known) if isinstance(known, str) else None
        try:
            path = pathlib.Path(
                self._hub.hf_hub_download(
                    self.name,
                    file,
                    revision=self._revision,
                    local_files_only=self._unreached is not None,
                )
            )
        except self._errors.LocalEntryNotFoundError as error:
            self._unreached = self._unreached or error
            if self._revision is None:
                self.check_reached(file)
            return None
        except self._errors.EntryNotFoundError:
            return None
        except self._errors.HfHubHTTPError as error:
            reason = str(error).splitlines()[0]
            raise FileNotFoundError(
                "load takes a .keras file, a model's directory or the name of a model that the hub "
                f"has and lets you read. Received: {self.name!r}: {reason}"
            ) from None
        # .../snapshots/COMMIT/FILE
        self._revision = path.parent.name
        return path

    def has(self, file: str) -> bool:
        """Says whether the model has a file, without fetching it."""
        try:
            url = self._hub.hf_hub_url(self.name, file, revision=self._revision)
            self._hub.get_hf_file_metadata(url)
        except Exception:  # It only makes an error message better.
            return False
        return True

    def check_reached(self, file: str) -> None:
        """Raises ConnectionError if a file may be missing because the hub was not reached."""
        if self._unreached is not None:
            cause = self._unreached.__cause__ or self._unreached
            raise ConnectionError(
                f"{self.name!r} is no file or directory here, and the hub was not reached, nor is "
                f"{file} in its cache. Received: {str(cause).splitlines()[0]}"
            ) from None
