"""Small models and rows for the tests of tasks."""

import numpy as np

from keras_lm import BERT, ELECTRA, GPT, DistilBERT, RoBERTa, Transformer

V, T = 20, 7
SIZES = {
    "vocab_size": V,
    "hidden_size": 16,
    "num_layers": 1,
    "num_attention_heads": 2,
    "num_hidden_units": 32,
    "max_length": 10,
    "dropout_rate": 0.0,
}


def bert(**arguments):
    return BERT(**{**SIZES, "initializer_range": 0.2, **arguments})


def gpt(**arguments):
    return GPT(**{**SIZES, "initializer_range": 0.2, **arguments})


def roberta(**arguments):
    return RoBERTa(**{**SIZES, "initializer_range": 0.2, **arguments})


def distilbert(**arguments):
    return DistilBERT(**{**SIZES, "initializer_range": 0.2, **arguments})


def electra(**arguments):
    return ELECTRA(**{**SIZES, "embedding_size": 8, "initializer_range": 0.2, **arguments})


def transformer(**arguments):
    start = {"decoder_start_ids": [2], "initializer_range": 0.2}
    return Transformer(**{**SIZES, **start, **arguments})


def rows(number, seed=0):
    """Rows of 3 to T tokens."""
    random = np.random.default_rng(seed)
    lengths = random.integers(3, T + 1, number)
    return {
        "token_ids": random.integers(0, V, (number, T)).astype("int32"),
        "segment_ids": random.integers(0, 2, (number, T)).astype("int32"),
        "padding_mask": np.arange(T)[None] < lengths[:, None],
    }


def with_noise_at_padding(inputs, seed=1):
    noise = np.random.default_rng(seed).integers(0, V, inputs["token_ids"].shape)
    ids = np.where(inputs["padding_mask"], inputs["token_ids"], noise)
    return {**inputs, "token_ids": ids.astype("int32")}
