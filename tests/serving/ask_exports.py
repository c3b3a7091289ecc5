"""Asks the exports in a directory and prints the answers as JSON; imports TensorFlow alone.

python ask_exports.py DIRECTORY REQUESTS.json [PACKAGE ...]

Packages that are named cannot be imported, not by TensorFlow either.
"""

import functools
import json
import sys

sys.modules.update(dict.fromkeys(sys.argv[3:]))  # What is None there cannot be imported.

import tensorflow as tf  # noqa: E402


def plain(tensor):
    if tensor.dtype != tf.string:
        return tensor.numpy().tolist()
    return tf.nest.map_structure(bytes.decode, tensor.numpy().tolist())


def ask(function, arguments):
    specs = function.structured_input_signature[1]
    return function(**{k: tf.constant(v, specs[k].dtype) for k, v in arguments.items()})


def stream(signatures, first, arguments):
    """What an engine does: the first tokens, then two more at a time; all pieces, and the end."""
    state, pieces = ask(signatures[first], arguments), []
    while True:
        pieces.append(state.pop("piece"))
        if tf.reduce_all(state["reason"] > 0):
            kept = {k: v for k, v in state.items() if not k.startswith("cache_")}
            return {**kept, "pieces": tf.stack(pieces, 1)}
        state = signatures["decode_chunk"](num_tokens=tf.constant(2), **state)


directory = sys.argv[1]
with open(sys.argv[2], encoding="utf-8") as file:
    requests = json.load(file)
loaded = functools.cache(lambda name: tf.saved_model.load(f"{directory}/{name}/1"))
answers = []
for name, signature, arguments in requests:
    signatures = loaded(name).signatures
    if signature.startswith("prefill"):
        found = stream(signatures, signature, arguments)
    else:
        found = ask(signatures[signature], arguments)
    answers.append({key: plain(value) for key, value in found.items()})
unwanted = [
    name
    for name, module in sys.modules.items()
    if module is not None and name.split(".")[0] in ("keras_lm", "tensorflow_text", "tokenizers")
]
print(json.dumps({"version": tf.__version__, "answers": answers, "unwanted": unwanted}))
