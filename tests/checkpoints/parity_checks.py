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
    seen = np.ones(inputs["token_ids"].shape, "bool")
    kind = model.backbone.model if hasattr(model, "backbone") else type(model)
    if kind.__name__ == "RoBERTa" or "start" in outputs:
        # Transformers gives padding a position of its own, and answers a place there; neither is
        # anything that counts.
        seen = inputs["padding_mask"]

    def assert_close(ours, theirs):
        ours = np.asarray(ours)
        assert ours.shape == theirs.shape
        if ours.shape[:2] == seen.shape:
            ours, theirs = ours[seen], theirs[seen]
        np.testing.assert_allclose(ours, theirs, atol=atol, rtol=0)

    found = model(inputs)
    heads = set(outputs) & set(model.HEADS)
    assert heads == set(model.heads)
    logits = found if isinstance(found, dict) else dict.fromkeys(heads, found)
    for head in heads:
        assert_close(logits[head], outputs[head])
    last, states = _hidden_states(model, inputs)
    assert sum(name.startswith("hidden_") for name in outputs) == len(states)
    for i, state in enumerate(states):
        assert_close(state, outputs[f"hidden_{i}"])
    if "pooler" in outputs:
        assert_close(model.pooler(last[:, 0]), outputs["pooler"])
    if not heads:
        np.testing.assert_array_equal(found, last)


def _hidden_states(model, inputs):
    """The last hidden states, and all of them as Transformers counts them."""
    target = inputs.get("decoder_token_ids")
    if len(getattr(model, "stacks", ())) == 2:  # A task: the decoder reads the source once more.
        start = model.backbone.arguments["decoder_start_ids"][0]
        ids = inputs["token_ids"]
        target = np.concatenate([np.full((len(ids), 1), start), ids[:, :-1]], 1)
    if target is not None:
        source = {name: inputs[name] for name in ("token_ids", "padding_mask")}
        memory, states = model.encoder(source, return_hidden_states=True)
        last, more = model.decoder(
            target,
            memory,
            memory_mask=inputs["padding_mask"],
            return_hidden_states=True,
        )
        return last, [*states, *more]
    stack = model.encoder if hasattr(model, "encoder") else model.decoder
    last, states = stack(inputs, return_hidden_states=True)
    # Theirs end with the last norm, where there is one.
    return last, [*states[:-1], last]
