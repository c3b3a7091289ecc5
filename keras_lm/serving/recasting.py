"""A model's copy that computes in another dtype, as an export may be asked to."""

from typing import Any

import keras
import tensorflow as tf

from keras_lm.training import LanguageModel
from keras_lm.training.copying import unfilled_copy

DTYPES = ("float32", "bfloat16", "float16")


def recast(model: Any, dtype: str) -> Any:
    """Gives a model with the weights of another, rounded to a dtype, in which it computes.

    Softmax, logits and what is computed from them stay float32, see `keras_lm.layers`.

    Args:
        model: a built `LanguageModel`; it is left as it is. Adapters are added to the kernels.
        dtype: of `DTYPES`.

    Returns:
        A model of the same class and name; `model` itself where that is its dtype.

    Raises:
        ValueError: another dtype, or no `LanguageModel`, or one without weights.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}. Received: dtype={dtype!r}")
    if not isinstance(model, LanguageModel):
        raise ValueError(
            "dtype is for a model; what else is exported has that of its model. "
            f"Received: dtype={dtype!r}, a {type(model).__name__}"
        )
    if model.dtype_policy == keras.dtype_policies.get(dtype):
        return model
    if not model.built:
        raise ValueError("A model has no weights before it is built. Received: an unbuilt model")
    if model.has_lora:
        model = model.merge_lora()
    config = model.get_config()
    if isinstance(config.get("model"), dict):  # A task computes in the dtype of what it stands on.
        beneath = config["model"]
        config["model"] = {**beneath, "config": {**beneath["config"], "dtype": dtype}}
    copy = unfilled_copy(model, {**config, "dtype": dtype})
    for old, new in zip(model.weights, copy.weights, strict=True):
        new.assign(tf.cast(old.value, new.dtype))
    return copy
