"""Who trains and who encodes in `bench_train.py` and `bench_forward.py`.

Each function below is run in a process of its own and gives what is timed there. Random weights and
ids, as many threads as the machine has cores, float32 unless another dtype is asked for.

B rows, T length, P masked tokens a row, L layers, D width, V vocabulary.
"""

import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

Seconds = Callable[..., float]


def profile_of(prepare: Callable[..., Seconds], *arguments: Any) -> Callable[[], dict]:
    """Which operations the time of a peer's steps goes into, see `operation_profile`."""
    import operation_profile

    act = prepare(*arguments)
    act(2)
    return lambda: operation_profile.profile(lambda: act(2), 2)


class Shape(NamedTuple):
    """Sizes of a model and of its batch; feed-forward layers are four times as wide as D."""

    layers: int
    width: int
    heads: int
    rows: int
    length: int
    masked: int = 20
    vocab_size: int = 30_522

    def forward_gigaflops(self, predicted: int, transform: bool) -> float:
        """Arithmetic of the matrix products of one pass, two operations for a multiply-add.

        Args:
            predicted: rows of the product with the token table.
            transform: whether a dense layer stands before that product.
        """
        tokens = self.rows * self.length
        blocks = self.layers * tokens * (12 * self.width**2 + 2 * self.length * self.width)
        head = predicted * self.width * (self.vocab_size + (self.width if transform else 0))
        return 2e-9 * (blocks + head)


def batch(shape: Shape, causal: bool) -> tuple[dict, Any, Any]:
    """Inputs, labels and weights, NumPy; the same for all."""
    import numpy as np

    random = np.random.default_rng(0)
    size = (shape.rows, shape.length)
    inputs = {
        "token_ids": random.integers(5, shape.vocab_size, size, "int32"),
        "padding_mask": np.ones(size, bool),
    }
    if causal:
        labels = np.roll(inputs["token_ids"], -1, axis=1)
        return inputs, labels, np.ones(size, "float32")
    inputs["segment_ids"] = np.zeros(size, "int32")
    places = [random.permutation(shape.length)[: shape.masked] for _ in range(shape.rows)]
    inputs["masked_positions"] = np.sort(np.array(places, "int32"), axis=1)
    labels = np.take_along_axis(inputs["token_ids"], inputs["masked_positions"], 1)
    return inputs, labels, np.ones(labels.shape, "float32")


# A step of training: forward, backward, clipping to a global norm of 1, AdamW, accuracy.


def ours_training(shape: Shape, causal: bool, jit_compile: bool, dtype: str = "float32") -> Seconds:
    """`model.fit` of this package."""
    import keras_lm

    sizes = (shape.vocab_size, shape.width, shape.layers, shape.heads, 4 * shape.width)
    made = keras_lm.GPT if causal else keras_lm.BERT
    model = made(*sizes, max_length=shape.length, dtype=dtype)
    model.compile(learning_rate=1e-4, jit_compile=jit_compile)
    return _keras_steps(model, batch(shape, causal))


def keras_nlp_training(
    shape: Shape, causal: bool, jit_compile: bool, dtype: str = "float32"
) -> Seconds:
    """`model.fit` of keras-nlp's task models."""
    import keras
    import keras_nlp

    sizes = {
        "vocabulary_size": shape.vocab_size,
        "num_layers": shape.layers,
        "num_heads": shape.heads,
        "hidden_dim": shape.width,
        "intermediate_dim": 4 * shape.width,
        "dropout": 0.1,
        "max_sequence_length": shape.length,
        "dtype": dtype,
    }
    inputs, labels, weights = batch(shape, causal)
    if causal:
        backbone = keras_nlp.models.GPT2Backbone(**sizes)
        model = keras_nlp.models.GPT2CausalLM(backbone, preprocessor=None)
    else:
        backbone = keras_nlp.models.BertBackbone(**sizes)
        model = keras_nlp.models.BertMaskedLM(backbone, preprocessor=None)
        inputs["mask_positions"] = inputs.pop("masked_positions")
    optimizer = keras.optimizers.AdamW(1e-4, weight_decay=0.01, global_clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "embedding"])
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy()],
        jit_compile=jit_compile,
    )
    return _keras_steps(model, (inputs, labels, weights))


def _keras_steps(model: Any, data: tuple) -> Seconds:
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensors(data).repeat()

    def seconds(steps: int) -> float:
        """Seconds a step; what `fit` costs around its steps is in it."""
        begin = time.perf_counter()
        model.fit(dataset, epochs=1, steps_per_epoch=steps, shuffle=False, verbose=0)
        return (time.perf_counter() - begin) / steps

    return seconds


def torch_training(shape: Shape, causal: bool, half: bool = False) -> Seconds:
    """Transformers on torch; its encoder, and a head that looks at masked positions alone."""
    import torch
    import transformers
    from torch.nn.functional import cross_entropy

    torch.set_num_threads(os.cpu_count() or 1)
    inputs, labels, _ = batch(shape, causal)
    ids, labels = torch.from_numpy(inputs["token_ids"]).long(), torch.from_numpy(labels).long()
    model: Any
    if causal:
        model = transformers.GPT2LMHeadModel(
            transformers.GPT2Config(
                vocab_size=shape.vocab_size,
                n_embd=shape.width,
                n_layer=shape.layers,
                n_head=shape.heads,
                n_positions=shape.length,
            )
        )

        def logits_of() -> Any:
            return model(input_ids=ids).logits
    else:
        model = transformers.BertForMaskedLM(
            transformers.BertConfig(
                vocab_size=shape.vocab_size,
                hidden_size=shape.width,
                num_hidden_layers=shape.layers,
                num_attention_heads=shape.heads,
                intermediate_size=4 * shape.width,
                max_position_embeddings=shape.length,
            )
        )
        places = torch.from_numpy(inputs["masked_positions"]).long()[..., None]
        places = places.expand(-1, -1, shape.width)

        def logits_of() -> Any:
            hidden = model.bert(input_ids=ids).last_hidden_state
            return model.cls(hidden.gather(1, places))

    model.train()
    decayed = [p for name, p in model.named_parameters() if _decays(name)]
    others = [p for name, p in model.named_parameters() if not _decays(name)]
    groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-4, weight_decay=0.01)

    def seconds(steps: int) -> float:
        begin = time.perf_counter()
        for _ in range(steps):
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                logits = logits_of()
            loss = cross_entropy(logits.float().flatten(0, 1), labels.flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            loss.item(), (logits.argmax(-1) == labels).float().mean().item()
        return (time.perf_counter() - begin) / steps

    return seconds


def _decays(name: str) -> bool:
    return not any(part in name.lower() for part in ("bias", "norm", "ln_", "embedding", "wte"))


# A forward pass of an encoder, to hidden states.


def ours_forward(shape: Shape, dtype: str = "float32") -> Seconds:
    """This package's encoder in a graph, without XLA: what an export computes."""
    import keras_lm

    sizes = (shape.vocab_size, shape.width, shape.layers, shape.heads, 4 * shape.width)
    longest = max(shape.length, 512)
    model = keras_lm.BERT(*sizes, max_length=longest, heads=(), pooler=True, dtype=dtype)
    model.build()
    return _graph_passes(lambda inputs: model(inputs, training=False), shape, False)


def keras_nlp_forward(shape: Shape, jit_compile: bool, dtype: str = "float32") -> Seconds:
    """keras-nlp's backbone in a graph."""
    import keras_nlp

    model = keras_nlp.models.BertBackbone(
        vocabulary_size=shape.vocab_size,
        num_layers=shape.layers,
        num_heads=shape.heads,
        hidden_dim=shape.width,
        intermediate_dim=4 * shape.width,
        max_sequence_length=max(shape.length, 512),
        dtype=dtype,
    )
    return _graph_passes(
        lambda inputs: model(inputs, training=False)["sequence_output"], shape, jit_compile
    )


def _graph_passes(model: Callable[[dict], Any], shape: Shape, jit_compile: bool) -> Seconds:
    import tensorflow as tf

    inputs = {
        name: tf.constant(value)
        for name, value in batch(shape, False)[0].items()
        if name != "masked_positions"
    }
    run = tf.function(model, jit_compile=jit_compile)

    def seconds(passes: int) -> float:
        begin = time.perf_counter()
        for _ in range(passes):
            run(inputs).numpy()
        return (time.perf_counter() - begin) / passes

    return seconds


def torch_forward(shape: Shape, half: bool = False) -> Seconds:
    """`BertModel` of Transformers."""
    import torch
    import transformers

    torch.set_num_threads(os.cpu_count() or 1)
    model = transformers.BertModel(
        transformers.BertConfig(
            vocab_size=shape.vocab_size,
            hidden_size=shape.width,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            intermediate_size=4 * shape.width,
        )
    ).eval()
    model = model.bfloat16() if half else model
    ids = torch.from_numpy(batch(shape, False)[0]["token_ids"]).long()
    mask = torch.ones_like(ids)

    def seconds(passes: int) -> float:
        begin = time.perf_counter()
        with torch.inference_mode():
            for _ in range(passes):
                model(input_ids=ids, attention_mask=mask).last_hidden_state.float().numpy()
        return (time.perf_counter() - begin) / passes

    return seconds


def ours_decoding(shape: Shape, dtype: str = "float32") -> Seconds:
    """`GPT.generate`, greedily: `rows` prompts of `length` tokens, 64 new ones each."""
    import keras_lm

    sizes = (shape.vocab_size, shape.width, shape.layers, shape.heads, 4 * shape.width)
    model = keras_lm.GPT(*sizes, max_length=1_024, dtype=dtype)
    model.build()
    prompts = batch(shape, True)[0]["token_ids"].tolist()

    def seconds(texts: int) -> float:
        begin = time.perf_counter()
        for _ in range(texts):
            model.generate(prompts, max_new_tokens=64)
        return (time.perf_counter() - begin) / texts

    return seconds


def products() -> Callable[[], float]:
    """GFLOP/s of products of 2,048 x 2,048 matrices: the peak that models are measured by."""
    import tensorflow as tf

    a, b = tf.random.normal([2048, 2048]), tf.random.normal([2048, 2048])
    multiply = tf.function(tf.matmul)

    def gigaflops() -> float:
        times = []
        for _ in range(8):
            begin = time.perf_counter()
            multiply(a, b).numpy()
            times.append(time.perf_counter() - begin)
        return 2e-9 * 2048**3 / min(times)

    return gigaflops
