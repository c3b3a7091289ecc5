"""Asks the exports in a directory and prints the answers as JSON; imports TensorFlow alone.

python ask_exports.py DIRECTORY REQUESTS.json
"""

import json
import sys

import tensorflow as tf


def plain(tensor):
    if tensor.dtype != tf.string:
        return tensor.numpy().tolist()
    return tf.nest.map_structure(bytes.decode, tensor.numpy().tolist())


directory = sys.argv[1]
with open(sys.argv[2], encoding="utf-8") as file:
    requests = json.load(file)
answers = []
for name, signature, arguments in requests:
    function = tf.saved_model.load(f"{directory}/{name}/1").signatures[signature]
    specs = function.structured_input_signature[1]
    found = function(**{k: tf.constant(v, specs[k].dtype) for k, v in arguments.items()})
    answers.append({key: plain(value) for key, value in found.items()})
unwanted = [
    m for m in sys.modules if m.split(".")[0] in ("keras_lm", "tensorflow_text", "tokenizers")
]
print(json.dumps({"version": tf.__version__, "answers": answers, "unwanted": unwanted}))
