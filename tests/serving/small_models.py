"""SavedModels of a few operations, for what can be asked of a server without a language model."""

import numpy as np
import tensorflow as tf

ANY = tf.TensorSpec([None], tf.float32, name="x")


def halves(path, add=2.0):
    """y = x / 2 + add; the same for examples that have a feature x."""
    root = tf.Module()
    root.add = tf.Variable(add)

    def answer(x):
        return x / 2.0 + root.add

    def parsed(examples):
        feature = {"x": tf.io.FixedLenFeature([], tf.float32)}
        return answer(tf.io.parse_example(examples, feature)["x"])

    inputs = tf.TensorSpec([None], tf.string, name="inputs")

    @tf.function(input_signature=[ANY])
    def predict(x):
        return {"y": answer(x)}

    @tf.function(input_signature=[inputs])
    def regress(inputs):
        return {"outputs": parsed(inputs)}

    @tf.function(input_signature=[inputs])
    def classify(inputs):
        y = parsed(inputs)
        classes = tf.tile([["low", "high"]], [tf.size(y), 1])
        return {"classes": classes, "scores": tf.stack([-y, y], axis=1)}

    @tf.function(input_signature=[ANY, tf.TensorSpec([], tf.float32, name="by")])
    def scale(x, by):
        return {"y": x * by}

    signatures = {
        "serving_default": predict,
        "regress": regress,
        "classify": classify,
        "scale": scale,
    }
    tf.saved_model.save(root, str(path), signatures=signatures)


def kinds(path):
    """Echoes tensors of many types; two inputs."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="text"),
            tf.TensorSpec([None, None], tf.int32, name="token_ids"),
        ]
    )
    def predict(text, token_ids):
        return {"text": text, "raw_bytes": text, "sum": tf.reduce_sum(token_ids, axis=1)}

    specs = {
        "float64": tf.float64,
        "int64": tf.int64,
        "uint8": tf.uint8,
        "bool": tf.bool,
        "float16": tf.float16,
    }
    signatures = {"serving_default": predict}
    for name, dtype in specs.items():

        @tf.function(input_signature=[tf.TensorSpec([None], dtype, name="x")])
        def echo(x):
            return {"x": tf.identity(x)}

        signatures[name] = echo

    @tf.function(input_signature=[tf.TensorSpec([None, 2, 3], tf.float32, name="x")])
    def matrix(x):
        return {"x": tf.identity(x)}

    signatures["matrix"] = matrix
    tf.saved_model.save(tf.Module(), str(path), signatures=signatures)


def picky(path):
    """Refuses every batch that has a negative number; says how many rows were run together."""

    @tf.function(input_signature=[ANY])
    def predict(x):
        with tf.control_dependencies([tf.debugging.assert_non_negative(x, "no negative numbers")]):
            return {"y": tf.sqrt(x), "rows": tf.fill([tf.size(x)], tf.size(x))}

    @tf.function(input_signature=[ANY])
    def total(x):
        return {"sum": tf.reduce_sum(x, keepdims=True)}

    signatures = {"serving_default": predict, "total": total}
    tf.saved_model.save(tf.Module(), str(path), signatures=signatures)


def slow(path):
    """Takes as many seconds as the largest number says."""

    @tf.function(input_signature=[ANY])
    def predict(x):
        end = tf.timestamp() + tf.cast(tf.reduce_max(x), tf.float64)
        (now,) = tf.while_loop(
            lambda now: now < end, lambda now: [tf.timestamp()], [tf.timestamp()]
        )
        with tf.control_dependencies([now]):
            return {"x": tf.identity(x)}

    tf.saved_model.save(tf.Module(), str(path), signatures={"serving_default": predict})


def calls_python(path):
    """Has a Python function inside."""

    @tf.function(input_signature=[ANY])
    def predict(x):
        return {"y": tf.numpy_function(np.sqrt, [x], tf.float32)}

    tf.saved_model.save(tf.Module(), str(path), signatures={"serving_default": predict})
