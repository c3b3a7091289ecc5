"""Builds a model and fills it with the tensors of a file, all of it or nothing."""

from typing import Any

from keras_lm.checkpoints.family import Family
from keras_lm.checkpoints.matching import has_prefix, match, names_in, num_values
from keras_lm.checkpoints.tensors import TensorFile
from keras_lm.checkpoints.transfer import assign
from keras_lm.layers.initializers import TooLargeError, undrawn
from keras_lm.models import abstract


def filled(
    make: Any,
    family: Family,
    vocab_size: int,
    file: TensorFile,
    dtype: Any = None,
) -> Any:
    """Makes a model.

    Args:
        make: makes it, without weights; takes `dtype`.
        family: of the model, or of that beneath it.
        vocab_size: of the model.
        file: what fills it.
        dtype: of the model, or None.

    Raises:
        ValueError: the file does not hold what the model needs.
    """
    _check_vocabulary(family, vocab_size, file)
    model = make(dtype=dtype)
    try:
        with undrawn(num_values(file)):
            model.build()
    except TooLargeError:
        # Without memory for the weights: it has the names and shapes that the error will tell of.
        match(abstract(make), family, file)
        raise ValueError(
            "A file must hold every number of the model. "
            f"Received: {num_values(file)} numbers for a larger {type(model).__name__}"
        ) from None
    assign(match(model, family, file), file)
    return model


def _check_vocabulary(family: Family, vocab_size: int, file: TensorFile) -> None:
    """Holds the vocabulary to the rows of the token table; the commonest disagreement."""
    names = names_in(file)
    (name,) = family.names_of(family.tokens)
    name = name if has_prefix(names, family.prefix) else name.removeprefix(family.prefix)
    info = file.infos.get(names.get(name, ""))
    if info is not None and info.shape[:1] != (vocab_size,):
        raise ValueError(
            "The vocabulary must be as large as the token table. "
            f"Received: vocab_size={vocab_size}, {info.file} with {name} of shape {info.shape}"
        )
