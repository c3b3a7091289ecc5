"""Whether the model beneath adapters is the one that they were trained on, told by its weights.

Adapters are of use with those weights alone, and their directory has no more of them than a name.
So `load` and `save` note what a directory holds, by checksums; adapters are refused where what is
beneath them lies nowhere; and they carry a checksum of their own, which is compared when they are
loaded. It stands in our config.json: of a field in its own file PEFT would warn.

A checksum reads every bit of a weight once: the sum of its bits as integers, and some of its values
as they are. It tells a training, another model and a changed value; it is no cryptography.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.checkpoints.config import Config
from keras_lm.checkpoints.family import Family

BASE = "keras_lm_base"  # the field of config.json
_SAMPLE = 512  # values of a weight whose order counts
_INTEGERS = {2: tf.int16, 4: tf.int32, 8: tf.int64}


def checksums(model: Any, family: Family) -> dict[str, str]:
    """Checksums of the weights of a built model, without adapters, by their names in a file."""
    adapters = {id(weight) for weight in model.lora_weights}
    return {
        ",".join(family.names_of(family.path_of(weight))): _checksum(_value(weight))
        for weight in model.weights
        if id(weight) not in adapters
    }


def changed(model: Any, family: Family, known: Mapping[str, str]) -> list[str]:
    """Names of weights that adapters do not bring, and that are not as they were.

    Args:
        model: behind `add_lora`.
        family: of the model.
        known: `checksums` of the directory that the adapters would name.
    """
    frozen = {id(weight) for weight in model.non_trainable_weights}
    kept = [weight for weight in model.weights if id(weight) in frozen]
    names = [",".join(family.names_of(family.path_of(weight))) for weight in kept]
    return [
        name
        for name, weight in zip(names, kept, strict=True)
        if known.get(name) != _checksum(_value(weight))
    ]


def said_of(model: Any) -> dict[str, str]:
    """What adapters say of the model beneath: the dtype, and a checksum of encoder and decoder."""
    dtype = _body(model)[0].dtype
    return {"dtype": dtype, "weights": _of_all(model, dtype)}


def check_base(model: Any, config: Config) -> None:
    """Holds a model to what adapters say of the one that they were trained on.

    Where nothing is said, as by PEFT, or the model is of a narrower dtype, nothing is known.

    Args:
        model: a built model, with or without adapters.
        config: that lies with the adapters.

    Raises:
        ValueError: the weights of encoder or decoder are others.
    """
    said = config.get(BASE, None)
    if not isinstance(said, Mapping) or not {"dtype", "weights"} <= set(said):
        return
    own, wanted = (tf.as_dtype(name) for name in (_body(model)[0].dtype, said["dtype"]))
    if own.size < wanted.size or (own.size == wanted.size and own != wanted):
        return
    if _of_all(model, wanted.name) != said["weights"]:
        raise ValueError(
            "Adapters must be given to the model that they were trained on. Received: "
            f"{config.path.parent}, and a {type(model).__name__} with other weights"
        )


def _body(model: Any) -> list[Any]:
    apart = {id(weight) for weight in (*model.weights_behind(), *model.lora_weights)}
    return [weight for weight in model.weights if id(weight) not in apart]


def _of_all(model: Any, dtype: str) -> str:
    whole = hashlib.blake2b(digest_size=16)
    for weight in _body(model):
        whole.update(_checksum(tf.cast(_value(weight), dtype)).encode())
    return whole.hexdigest()


def _value(weight: Any) -> Any:
    return tf.convert_to_tensor(weight.value)


def _checksum(value: Any) -> str:
    """16 hexadecimal digits of a tensor."""
    found = hashlib.blake2b(repr(tuple(value.shape)).encode(), digest_size=8)
    with tf.device("CPU:0"):
        flat = tf.reshape(value, [-1])
        bits = tf.bitcast(flat, _INTEGERS[flat.dtype.size])
        total = tf.reduce_sum(bits if bits.dtype != tf.int16 else tf.cast(bits, tf.int32))
        step = max(1, int(np.prod(value.shape)) // _SAMPLE)
        found.update(total.numpy().tobytes())
        found.update(bits[::step].numpy().tobytes())
    return found.hexdigest()
