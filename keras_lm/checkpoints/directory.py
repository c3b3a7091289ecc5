"""Reads a model from a directory of Hugging Face's layout, or of Google's own BERT and ELECTRA."""

import pathlib
from typing import Any

from keras_lm.checkpoints.companions import read_companions
from keras_lm.checkpoints.config import CONFIG, Config
from keras_lm.checkpoints.families import OWN, family_of, variant
from keras_lm.checkpoints.family import Family
from keras_lm.checkpoints.matching import has_prefix, match, names_in, num_values
from keras_lm.checkpoints.opening import open_tensors
from keras_lm.checkpoints.replacing import finish_interrupted
from keras_lm.checkpoints.tensors import TensorFile
from keras_lm.checkpoints.transfer import assign
from keras_lm.layers.initializers import TooLargeError, undrawn
from keras_lm.models import abstract

GOOGLE_CONFIG = "bert_config.json"


def load_directory(directory: pathlib.Path, task: Any = None, dtype: Any = None) -> Any:
    """Loads a model; see `keras_lm.load`."""
    finish_interrupted(directory)
    config = read_config(directory)
    family = family_of(config)
    with open_tensors(directory) as file:
        model = _filled(family, config, file, task, dtype)
    model.companions = read_companions(directory, config, model)
    return model


def read_config(directory: pathlib.Path) -> Config:
    """Reads config.json; of Google's directories bert_config.json.

    Raises:
        FileNotFoundError: there is neither.
    """
    for name, model_type in ((CONFIG, None), (GOOGLE_CONFIG, "bert")):
        if (directory / name).is_file():
            config = Config.of(directory / name)
            if model_type:
                config.values.setdefault("model_type", model_type)
            return config
    names = ", ".join(sorted(path.name for path in directory.iterdir())) or "nothing"
    raise FileNotFoundError(
        f"A model's directory must hold {CONFIG}. Received: {directory} with {names}"
    )


def _filled(family: Family, config: Config, file: TensorFile, task: Any, dtype: Any) -> Any:
    names = names_in(file)
    arguments = _arguments(family, config)
    arguments.update(variant(family, config, names, task))
    config.warn_of_the_rest()
    _check_vocabulary(family, config, arguments["vocab_size"], file)
    model = family.model(**arguments, dtype=dtype)
    try:
        with undrawn(num_values(file)):
            model.build()
    except TooLargeError:
        # Without memory for the weights: it has the names and shapes that the error will tell of.
        match(abstract(family.model, **arguments), family, file)
        raise ValueError(
            f"A file must hold every number of the model. Received: {config.path}, whose sizes "
            f"need more than the {num_values(file)} beside it"
        ) from None
    assign(match(model, family, file), file)
    return model


def _arguments(family: Family, config: Config) -> dict[str, Any]:
    """Gives the constructor's arguments, without those that say which heads there are."""
    if not str(config.get("model_type", "")).startswith(OWN):
        return family.arguments(config)
    values = config.get("arguments", None)
    known = set(family.model.__init__.__annotations__) - {"kwargs", "return", "tokenizer"}
    if not isinstance(values, dict) or set(values) - known:
        config.refuse("arguments", f"arguments must be of {', '.join(sorted(known))}.")
    return dict(values)


def _check_vocabulary(family: Family, config: Config, vocab_size: int, file: TensorFile) -> None:
    """Holds the config's vocabulary to the rows of the token table; the commonest disagreement."""
    names = names_in(file)
    (name,) = family.names_of(family.tokens)
    name = name if has_prefix(names, family.prefix) else name.removeprefix(family.prefix)
    info = file.infos.get(names.get(name, ""))
    if info is not None and info.shape[:1] != (vocab_size,):
        raise ValueError(
            "The vocabulary must be as large as the token table. "
            f"Received: {config.path} with vocab_size={vocab_size}, {info.file} with {name} of "
            f"shape {info.shape}"
        )
