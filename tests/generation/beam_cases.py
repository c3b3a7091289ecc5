"""A model whose logits depend on everything that was written, and searches to ask of it.

The state of a text is a number that each token changes; the logits are a row of a table.
"""

import numpy as np
import tensorflow as tf

STATES, VOCAB = 97, 13


def table(seed=0):
    return np.float32(np.random.default_rng(seed).normal(size=(STATES, VOCAB)) * 1.7)


def next_state(state, token):
    return (state * 31 + token * 17 + state * token + 5) % STATES


def state_of(ids):
    state = 1
    for token in ids:
        state = next_state(state, int(token))
    return state


def step_of(table):
    """`step` of this model; its cache is the state of each row."""
    table = tf.constant(table)

    def step(token_ids, cache):
        state = next_state(cache["state"], token_ids)
        return tf.gather(table, state), {"state": state}

    return step


# What is fixed when a graph is traced.
KINDS = [
    {"num_beams": 2, "ends": [3]},
    {"num_beams": 3, "ends": [3], "rules": {"no_repeat_ngram_size": 2}},
    {"num_beams": 4, "ends": [3, 8]},
    {"num_beams": 4, "ends": []},
    {
        "num_beams": 3,
        "ends": [3],
        "rules": {"bad_words": [[5], [1, 2], [6, 7, 8]], "forced_last_ids": [3]},
    },
    {"num_beams": 5, "ends": [0], "rules": {"suppressed_ids": [4, 9]}},
]


def random_case(rng):
    """What a row may ask for."""
    max_new = int(rng.integers(1, 11))
    return {
        "prompt": rng.integers(0, VOCAB, int(rng.integers(1, 6))).tolist(),
        "max_new_tokens": max_new,
        "min_new_tokens": int(rng.choice([0, rng.integers(0, max_new + 1)])),
        "repetition_penalty": float(rng.choice([1.0, np.float32(rng.uniform(0.7, 2))])),
        "length_penalty": float(rng.choice([1.0, 0.0, -1.0, np.float32(rng.uniform(-1, 3))])),
        "early_stopping": [False, True, "never"][int(rng.integers(3))],
    }
