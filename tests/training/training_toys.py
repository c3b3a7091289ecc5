"""A small model, its data, and a pipeline, for the tests of the base model."""

import keras
import numpy as np
import tensorflow as tf

from keras_lm.layers import Dropout
from keras_lm.training import LanguageModel

V, T, P = 17, 6, 3


@keras.saving.register_keras_serializable("keras_lm_tests")
class ToyTokenizer:
    def __init__(self, tokens=("a", "b")):
        self.tokens = list(tokens)

    @property
    def vocab_size(self):
        return len(self.tokens)

    def get_config(self):
        return {"tokens": self.tokens}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable("keras_lm_tests")
class Toy(LanguageModel):
    """Mean of the visible tokens, added to each; with all heads of the base class."""

    def __init__(
        self,
        vocab_size=V,
        hidden_size=8,
        *,
        dropout_rate=0.0,
        penalty=0.0,
        heads=("masked_lm",),
        tokenizer=None,
        **kwargs,
    ):
        super().__init__(heads=heads, tokenizer=tokenizer, **kwargs)
        self.hidden_size = hidden_size
        self.penalty = penalty
        self.tokens = keras.layers.Embedding(vocab_size, hidden_size, name="tokens")
        regularizer = keras.regularizers.L2(penalty) if penalty else None
        self.blocks = [
            keras.layers.Dense(
                hidden_size, "gelu", kernel_regularizer=regularizer, name=f"block{i}"
            )
            for i in range(1)
        ]
        self.norm = keras.layers.LayerNormalization(name="norm")
        self.drop = Dropout(dropout_rate)
        sizes = {"next_sentence": 2, "replaced_token": 1}
        self.outputs_by_head = {
            head: keras.layers.Dense(sizes.get(head, vocab_size), dtype="float32", name=head)
            for head in heads
        }

    def build(self, input_shape=None):
        self.tokens.build(None)
        for layer in (*self.blocks, self.norm, *self.outputs_by_head.values()):
            layer.build((None, None, self.hidden_size))

    def call(self, inputs, training=None):
        x_BTD = self.tokens(inputs["token_ids"])
        if "padding_mask" in inputs:
            mask_BT1 = tf.cast(inputs["padding_mask"], x_BTD.dtype)[..., None]
            total = tf.maximum(tf.reduce_sum(mask_BT1, 1, keepdims=True), 1)
            x_BTD += tf.reduce_sum(x_BTD * mask_BT1, 1, keepdims=True) / total
        for block in self.blocks:
            x_BTD = block(x_BTD)
        x_BTD = self.drop(self.norm(x_BTD), training=training)
        outputs = {}
        for head, layer in self.outputs_by_head.items():
            hidden = x_BTD
            if head == "masked_lm" and "masked_positions" in inputs:
                hidden = tf.gather(x_BTD, inputs["masked_positions"], axis=1, batch_dims=1)
            elif head == "next_sentence":
                hidden = x_BTD[:, 0]
            outputs[head] = layer(hidden)[..., 0] if head == "replaced_token" else layer(hidden)
        if not outputs:
            return x_BTD
        return outputs if len(outputs) > 1 else outputs[self.heads[0]]


def masked_rows(rows, seed=0):
    """Rows with 0 to P masked tokens, far fewer in every second half of four, and repeated ids."""
    random = np.random.default_rng(seed)
    ids = random.integers(0, V // 2, (rows, T)).astype("int32")
    real = random.integers(1, T + 1, rows)
    counted = random.integers(0, P + 1, rows)
    counted[np.arange(rows) % 4 >= 2] //= 3
    inputs = {
        "token_ids": ids,
        "padding_mask": np.arange(T)[None] < real[:, None],
        "masked_positions": random.integers(0, T, (rows, P)).astype("int32"),
    }
    weights = (np.arange(P)[None] < counted[:, None]).astype("float32")
    return inputs, random.integers(0, V, (rows, P)).astype("int32"), weights


def both_heads(rows, seed=0):
    """The same rows with labels for masked_lm and next_sentence."""
    inputs, labels, weights = masked_rows(rows, seed)
    pair = np.random.default_rng(seed + 1).integers(0, 2, rows).astype("int32")
    labels = {"masked_lm": labels, "next_sentence": pair}
    return inputs, labels, {"masked_lm": weights, "next_sentence": np.ones(rows, "float32")}


class ToyPipeline:
    """Stands for a pipeline of keras_lm.data: batch i is all i."""

    def __init__(self, steps_per_epoch, start_step=0):
        self.steps_per_epoch = steps_per_epoch
        self.start_step = start_step

    def endless(self, start_step=0):
        def batch(i):
            ids = tf.fill([4, T], tf.cast(i, tf.int32))
            return {"token_ids": ids}, ids

        return tf.data.Dataset.counter(start_step).map(batch)


class Losses(keras.callbacks.Callback):
    """Keeps the loss of each batch: each is an epoch of its own for the tracker."""

    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_batch_begin(self, batch, logs=None):
        self.model.reset_metrics()

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(float(logs["loss"]))
