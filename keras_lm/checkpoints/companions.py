"""What travels along with a model: fields of config.json, generation settings, tokenizer files."""

import dataclasses
import pathlib
import tempfile
import warnings
from collections.abc import Mapping
from typing import Any

from keras_lm import tokenizers
from keras_lm.checkpoints.config import GENERATION, Config

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "chat_template.jinja",
)
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model")


@dataclasses.dataclass(frozen=True)
class Companions:
    """What `load` found beside the weights and `save` writes back; `model.companions`.

    Attributes:
        fields: of config.json, those that say nothing of the computation: `id2label`, ids.
        files: other files by name, as they were.
        tokenizer: what was made of them, or None.
        source: the directory that the model was loaded from or saved to, or its name on the hub.
        weights: checksums of the weights as they are there, by name; see `base_weights`.
    """

    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    tokenizer: Any = None
    source: str | None = None
    weights: Mapping[str, str] = dataclasses.field(default_factory=dict)


def read_companions(directory: pathlib.Path, config: Config, model: Any) -> Companions:
    """Reads what lies beside the weights, and gives the model its tokenizer.

    A tokenizer that can't be read, or has more tokens than the model, is a warning; the model has
    none then.
    """
    present = [name for name in (GENERATION, *TOKENIZER_FILES) if (directory / name).is_file()]
    files = {name: (directory / name).read_bytes() for name in present}
    if any(name in files for name in _VOCABULARIES):
        _give_tokenizer(directory, model)
    return Companions(config.travelling(), files, model.tokenizer, str(directory.resolve()))


def _give_tokenizer(directory: pathlib.Path, model: Any) -> None:
    try:
        tokenizer = tokenizers.load(directory)
        if tokenizer.vocab_size > model.vocab_size:
            raise ValueError(
                f"it has {tokenizer.vocab_size} tokens, the model {model.vocab_size}; "
                f"keras_lm.models.resize_token_embeddings(model, {tokenizer.vocab_size}) makes "
                f"room, and model.tokenizer = keras_lm.tokenizers.load({str(directory)!r}) sets it"
            )
        model.tokenizer = tokenizer
    except Exception as error:  # Whatever the reason: the model is whole without it.
        warnings.warn(
            f"The tokenizer in {directory} can't be used, so the model has none: {error}",
            stacklevel=2,
        )


def companion_files(model: Any) -> dict[str, bytes]:
    """Gives the files to write beside a model's weights.

    A tokenizer that came with the model is written as it came; another one writes its own files.
    """
    companions = getattr(model, "companions", Companions())
    files = dict(companions.files)
    if model.tokenizer is not companions.tokenizer:
        files = {name: text for name, text in files.items() if name not in TOKENIZER_FILES}
        if model.tokenizer is not None:
            with tempfile.TemporaryDirectory() as folder:
                model.tokenizer.save(folder)
                for path in pathlib.Path(folder).iterdir():
                    files[path.name] = path.read_bytes()
    return files


def ids_of(model: Any) -> dict[str, Any]:
    """Gives the fields of special ids, of a model whose tokenizer did not come with it."""
    tokenizer = model.tokenizer
    if tokenizer is None:
        return {}
    roles = {"pad": "pad", "bos": "cls", "eos": "sep"}
    if tokenizer.end_id is not None:
        roles = {"pad": "pad", "bos": "end", "eos": "end"}
    start = {}
    if hasattr(model, "start_ids"):
        start["decoder_start_token_id"] = model.start_ids[0]
    ids = start | {
        f"{theirs}_token_id": getattr(tokenizer, f"{ours}_id") for theirs, ours in roles.items()
    }
    return {name: value for name, value in ids.items() if value is not None}


def is_tokenizer_file(name: str) -> bool:
    """Says whether a file belongs to a tokenizer."""
    return name in TOKENIZER_FILES
