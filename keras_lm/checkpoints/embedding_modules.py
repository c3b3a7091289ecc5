"""The files with which sentence-transformers says how a model's hidden states become one vector.

`modules.json` names the steps: Transformer, Pooling and, where vectors have the length 1,
Normalize. `1_Pooling/config.json` says which states count, `sentence_bert_config.json` how much of
a text is read.
"""

import json
import pathlib
from collections.abc import Iterator
from typing import Any

from keras_lm.checkpoints.config import Config
from keras_lm.checkpoints.replacing import Writer, holding
from keras_lm.tasks.text_embedder import TextEmbedder

MODULES = "modules.json"
POOLING = "1_Pooling/config.json"
LENGTH = "sentence_bert_config.json"
PROMPTS = "config_sentence_transformers.json"
_TOKENIZER = "tokenizer_config.json"
FILES = (MODULES, POOLING, LENGTH, PROMPTS)

# Their names of the poolings, and ours; first as the fields of old files have them.
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_OURS = {"cls": "first", "mean": "mean", "lasttoken": "last"}
_TYPE = "sentence_transformers.models."


def embedder_options(directory: pathlib.Path) -> dict[str, Any]:
    """Reads the options of a `TextEmbedder`; its `max_length` may be more than the model has.

    Args:
        directory: of the model; without `modules.json` there are none.

    Raises:
        ValueError: a step, a pooling or a prompt that is not known here.
    """
    if not (directory / MODULES).is_file():
        return {}
    places = _steps(directory / MODULES)
    options: dict[str, Any] = {"normalize": "Normalize" in places}
    options["pooling"] = _pooling(directory / places["Pooling"] / "config.json")
    tokenizer = _fields(directory / _TOKENIZER)
    length = _fields(directory / LENGTH)
    if length.get("do_lower_case", None) and not tokenizer.get("do_lower_case", None):
        length.refuse("do_lower_case", "do_lower_case must be that of the tokenizer.")
    read = length.get("max_seq_length", None) or tokenizer.get("model_max_length", None)
    if isinstance(read, int) and read > 0:
        options["max_length"] = read
    prompts = _fields(directory / PROMPTS)
    if prompts.get("default_prompt_name", None) is not None:
        prompts.refuse("default_prompt_name", "Texts must be read without a prompt before them.")
    return options


def _steps(path: pathlib.Path) -> dict[str, str]:
    """The folder of each step by its name; they are the three that are known, in their order."""
    try:
        steps = json.loads(path.read_text("utf-8"))
        places = {str(step["type"]).rpartition(".")[2]: str(step["path"]) for step in steps}
    except (ValueError, TypeError, KeyError):
        places = {}
    names = list(places)
    if names[:2] != ["Transformer", "Pooling"] or names[2:] not in ([], ["Normalize"]):
        raise ValueError(
            f"{MODULES} must name Transformer, Pooling and perhaps Normalize; "
            'task="backbone" loads the model alone. '
            f"Received: {path} with {', '.join(names) or 'no steps'}"
        )
    return places


def _pooling(path: pathlib.Path) -> str:
    config = _fields(path)
    modes = config.get("pooling_mode", None)
    if modes is None:
        modes = [mode for flag, mode in _FLAGS.items() if config.get(flag, False)]
    modes = [modes] if isinstance(modes, str) else modes
    if not isinstance(modes, list) or len(modes) != 1 or modes[0] not in _OURS:
        raise ValueError(
            f"A pooling must be one of {', '.join(_OURS)}. Received: {path} with {modes!r}"
        )
    return _OURS[modes[0]]


def _fields(path: pathlib.Path) -> Config:
    return Config.of(path) if path.is_file() else Config({}, path)


def module_files(model: TextEmbedder) -> Iterator[tuple[str, Writer]]:
    """Gives the files that say how a `TextEmbedder` makes its vectors."""
    steps = [("", "Transformer"), ("1_Pooling", "Pooling")]
    steps += [("2_Normalize", "Normalize")] if model.normalize else []
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": _TYPE + name}
        for i, (path, name) in enumerate(steps)
    ]
    (mode,) = (theirs for theirs, ours in _OURS.items() if ours == model.pooling)
    pooling = {"word_embedding_dimension": model.hidden_size}
    pooling |= {flag: name == mode for flag, name in _FLAGS.items()}
    length = {"max_seq_length": model.max_length, "do_lower_case": False}
    prompts: dict[str, Any] = {
        "prompts": {},
        "default_prompt_name": None,
        "similarity_fn_name": "cosine",
    }
    contents = (modules, pooling, length, prompts)
    for name, content in zip(FILES, contents, strict=True):
        yield name, holding(json.dumps(content, indent=2) + "\n")
