"""A second model of the same class, to be filled with weights of the first."""

import math
from typing import Any

from keras_lm.layers.initializers import undrawn


def unfilled_copy(model: Any, config: dict[str, Any]) -> Any:
    """Makes a model whose weights have no values yet, with all that the first one has besides.

    Tokenizer, what came with it from a directory, and what is known of its data and scores; no
    adapters.

    Args:
        model: a built model.
        config: of the new one, as `get_config` gives it.
    """
    copy = type(model).from_config(config)
    with undrawn(sum(math.prod(weight.shape) for weight in model.weights)):
        copy.build(None)
    copy.tokenizer = model.tokenizer
    if hasattr(model, "companions"):
        copy.companions = model.companions
    copy.provenance = model.provenance
    return copy
