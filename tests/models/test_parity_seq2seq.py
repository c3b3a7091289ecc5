"""The numbers of Transformers' BART and of PyTorch's layers; see `make_golden_seq2seq.py`."""

import numpy as np
import pytest
import tensorflow as tf
from golden_files import Golden

from keras_lm import Transformer


def of_bart(ours, theirs):
    """Names of the layers that BART's encoder and decoder have both."""
    block, layer = f"{ours}/block_{{i}}/", f"model.{theirs}.layers.{{i}}."
    return {
        f"{ours}/embedding/positions/embeddings": f"model.{theirs}.embed_positions.weight",
        f"{ours}/embedding/norm/": f"model.{theirs}.layernorm_embedding.",
        f"{block}attention/query_key_value/": [f"{layer}self_attn.{x}_proj." for x in "qkv"],
        f"{block}attention/output/": f"{layer}self_attn.out_proj.",
        f"{block}attention_norm/": f"{layer}self_attn_layer_norm.",
        f"{block}feed_forward_in/": f"{layer}fc1.",
        f"{block}feed_forward_out/": f"{layer}fc2.",
        f"{block}feed_forward_norm/": f"{layer}final_layer_norm.",
    }


OF_MEMORY = "model.decoder.layers.{i}.encoder_attn"
BART_NAMES = {
    "tokens/embeddings": "model.shared.weight",
    **of_bart("encoder", "encoder"),
    **of_bart("decoder", "decoder"),
    "decoder/block_{i}/cross_attention/query/": f"{OF_MEMORY}.q_proj.",
    "decoder/block_{i}/cross_attention/key_value/": [f"{OF_MEMORY}.{x}_proj." for x in "kv"],
    "decoder/block_{i}/cross_attention/output/": f"{OF_MEMORY}.out_proj.",
    "decoder/block_{i}/cross_attention_norm/": f"{OF_MEMORY}_layer_norm.",
    "seq2seq/bias": "final_logits_bias",
}
BART_SHAPE = {
    "vocab_size": 31,
    "hidden_size": 12,
    "max_length": 16,
    "position_kind": "learned",
    "first_position": 2,
    "normalize_embedding": True,
    "logits_bias": True,
    "decoder_start_ids": [2],
}
BART = {
    "gelu": {
        "num_layers": 2,
        "num_attention_heads": 3,
        "num_hidden_units": 20,
        "activation": "gelu",
        "scale_embedding": False,
        "end_id": 15,
    },
    "odd": {
        "num_layers": 1,
        "num_attention_heads": 3,
        "num_hidden_units": 20,
        "num_decoder_layers": 3,
        "num_decoder_attention_heads": 1,
        "num_decoder_hidden_units": 37,
        "activation": "gelu_tanh",
        "scale_embedding": True,
        "end_id": 10,
    },
}


@pytest.fixture(params=BART, scope="module")
def bart(request):
    golden = Golden(f"bart_{request.param}")
    golden.arrays["weight/final_logits_bias"] = golden.arrays["weight/final_logits_bias"][0]
    model = Transformer(**BART_SHAPE, **BART[request.param])
    model.build()
    golden.assign(model, BART_NAMES, transposed=True)
    inputs = golden.part("input/")
    return model, {**inputs, "padding_mask": inputs["padding_mask"] == 1}, golden.part("output/")


def test_bart_has_the_numbers_of_transformers(bart):
    model, inputs, outputs = bart
    real = inputs["padding_mask"]
    np.testing.assert_allclose(model(inputs), outputs["seq2seq"], atol=1e-5)
    source = {name: inputs[name] for name in ("token_ids", "padding_mask")}
    memory, states = model.encoder(source, return_hidden_states=True)
    for i, state in enumerate(states):
        np.testing.assert_allclose(state[real], outputs[f"encoder_{i}"][real], atol=1e-5)
    _, states = model.decoder(
        inputs["decoder_token_ids"], memory, memory_mask=real, return_hidden_states=True
    )
    for i, state in enumerate(states):
        np.testing.assert_allclose(state, outputs[f"decoder_{i}"], atol=1e-5)


def test_bart_has_the_numbers_of_transformers_token_by_token(bart):
    model, inputs, outputs = bart
    lengths = inputs["padding_mask"].sum(1).astype("int32")
    target = inputs["decoder_token_ids"].astype("int32")
    logits, cache = model.prefill(inputs["token_ids"], lengths, target[:, :2], 9)
    for t in range(1, target.shape[1]):
        np.testing.assert_allclose(logits, outputs["seq2seq"][:, t], atol=1e-5)
        if t + 1 < target.shape[1]:
            logits, cache = model.step(target[:, t + 1], cache)


def test_bart_answers_as_transformers(bart):
    model, inputs, outputs = bart
    rows = [
        row[real].tolist()
        for row, real in zip(inputs["token_ids"], inputs["padding_mask"], strict=True)
    ]
    found = model.generate(rows, max_new_tokens=12)
    for row, theirs in zip(found, outputs["greedy"][:, 1:].tolist(), strict=True):
        end = theirs.index(model.end_id) if model.end_id in theirs else len(theirs)
        assert row == theirs[:end]
    assert 0 < min(map(len, found)) < max(map(len, found)) == 12


TORCH_NAMES = {
    "tokens/embeddings": "tokens.weight",
    "encoder/block_{i}/attention/query_key_value/kernel": "encoder.{i}.self_attn.in_proj_weight",
    "encoder/block_{i}/attention/query_key_value/bias": "encoder.{i}.self_attn.in_proj_bias",
    "encoder/block_{i}/attention/output/": "encoder.{i}.self_attn.out_proj.",
    "encoder/block_{i}/attention_norm/": "encoder.{i}.norm1.",
    "encoder/block_{i}/feed_forward_in/": "encoder.{i}.linear1.",
    "encoder/block_{i}/feed_forward_out/": "encoder.{i}.linear2.",
    "encoder/block_{i}/feed_forward_norm/": "encoder.{i}.norm2.",
    "decoder/block_{i}/attention/query_key_value/kernel": "decoder.{i}.self_attn.in_proj_weight",
    "decoder/block_{i}/attention/query_key_value/bias": "decoder.{i}.self_attn.in_proj_bias",
    "decoder/block_{i}/attention/output/": "decoder.{i}.self_attn.out_proj.",
    "decoder/block_{i}/attention_norm/": "decoder.{i}.norm1.",
    "decoder/block_{i}/cross_attention/query/": "decoder.{i}.multihead_attn.query_",
    "decoder/block_{i}/cross_attention/key_value/": "decoder.{i}.multihead_attn.key_value_",
    "decoder/block_{i}/cross_attention/output/": "decoder.{i}.multihead_attn.out_proj.",
    "decoder/block_{i}/cross_attention_norm/": "decoder.{i}.norm2.",
    "decoder/block_{i}/feed_forward_in/": "decoder.{i}.linear1.",
    "decoder/block_{i}/feed_forward_out/": "decoder.{i}.linear2.",
    "decoder/block_{i}/feed_forward_norm/": "decoder.{i}.norm3.",
}


@pytest.mark.parametrize(("name", "sizes"), [("relu", (12, 2, 3, 20)), ("odd", (11, 1, 1, 37))])
def test_the_papers_shape_has_the_numbers_of_pytorchs_layers(name, sizes):
    golden = Golden(f"transformer_{name}")
    for key, array in list(golden.arrays.items()):
        # One weight there: queries, keys and values.
        if "multihead_attn.in_proj_" in key:
            width = len(array) // 3
            golden.arrays[key.replace("in_proj", "query")] = array[:width]
            golden.arrays[key.replace("in_proj", "key_value")] = array[width:]
    model = Transformer(31, *sizes, max_length=16)
    model.build()
    golden.assign(model, TORCH_NAMES, transposed=True)
    inputs, outputs = golden.part("input/"), golden.part("output/")
    real = inputs["padding_mask"] == 1
    memory = model.encoder({"token_ids": inputs["token_ids"], "padding_mask": real})
    np.testing.assert_allclose(tf.where(real[..., None], memory, 0), outputs["memory"], atol=1e-5)
    found = model({**inputs, "padding_mask": real})
    np.testing.assert_allclose(found, outputs["seq2seq"], atol=1e-5)
