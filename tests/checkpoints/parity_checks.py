"""Holds a model of ours to what Transformers gave."""

import numpy as np


def assert_same(model, inputs, outputs, atol=1e-5):
    """Compares every head and every hidden state.

    Args:
        model: what `load` gave.
        inputs: arrays by our names.
        outputs: arrays by head, `hidden_0` and so on, and `pooler`.
    """
    inputs = {name: np.asarray(value) for name, value in inputs.items()}
    outputs = {name: np.asarray(value) for name, value in outputs.items()}
    found = model(inputs)
    heads = set(outputs) & set(model.HEADS)
    assert heads == set(model.heads)
    logits = found if isinstance(found, dict) else dict.fromkeys(heads, found)
    for head in heads:
        np.testing.assert_allclose(logits[head], outputs[head], atol=atol, rtol=0)
    stack = model.encoder if hasattr(model, "encoder") else model.decoder
    last, states = stack(inputs, return_hidden_states=True)
    # Theirs end with the last norm, where there is one.
    states = [*states[:-1], last]
    assert sum(name.startswith("hidden_") for name in outputs) == len(states)
    for i, state in enumerate(states):
        np.testing.assert_allclose(state, outputs[f"hidden_{i}"], atol=atol, rtol=0)
    if "pooler" in outputs:
        np.testing.assert_allclose(model.pooler(last[:, 0]), outputs["pooler"], atol=atol, rtol=0)
    if not heads:
        np.testing.assert_allclose(found, last, atol=0)
