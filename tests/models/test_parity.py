"""The numbers of Transformers' own models; `make_golden.py` wrote what is compared with."""

import pathlib
import re

import numpy as np
import pytest

from keras_lm import BERT, GPT

GOLDEN = pathlib.Path(__file__).parent / "golden"

BERT_NAMES = {
    "encoder/embedding/tokens/embeddings": "bert.embeddings.word_embeddings.weight",
    "encoder/embedding/segments/embeddings": "bert.embeddings.token_type_embeddings.weight",
    "encoder/embedding/positions/embeddings": "bert.embeddings.position_embeddings.weight",
    "encoder/embedding/norm/": "bert.embeddings.LayerNorm.",
    "encoder/block_{i}/attention/query_key_value/": "bert.encoder.layer.{i}.attention.self.{part}.",
    "encoder/block_{i}/attention/output/": "bert.encoder.layer.{i}.attention.output.dense.",
    "encoder/block_{i}/attention_norm/": "bert.encoder.layer.{i}.attention.output.LayerNorm.",
    "encoder/block_{i}/feed_forward_in/": "bert.encoder.layer.{i}.intermediate.dense.",
    "encoder/block_{i}/feed_forward_out/": "bert.encoder.layer.{i}.output.dense.",
    "encoder/block_{i}/feed_forward_norm/": "bert.encoder.layer.{i}.output.LayerNorm.",
    "masked_lm/dense/": "cls.predictions.transform.dense.",
    "masked_lm/norm/": "cls.predictions.transform.LayerNorm.",
    "masked_lm/bias": "cls.predictions.bias",
    "pooler/": "bert.pooler.dense.",
    "next_sentence/": "cls.seq_relationship.",
}
GPT2_NAMES = {
    "decoder/embedding/tokens/embeddings": "transformer.wte.weight",
    "decoder/embedding/positions/embeddings": "transformer.wpe.weight",
    "decoder/block_{i}/attention/query_key_value/": "transformer.h.{i}.attn.c_attn.",
    "decoder/block_{i}/attention/output/": "transformer.h.{i}.attn.c_proj.",
    "decoder/block_{i}/attention_norm/": "transformer.h.{i}.ln_1.",
    "decoder/block_{i}/feed_forward_in/": "transformer.h.{i}.mlp.c_fc.",
    "decoder/block_{i}/feed_forward_out/": "transformer.h.{i}.mlp.c_proj.",
    "decoder/block_{i}/feed_forward_norm/": "transformer.h.{i}.ln_2.",
    "decoder/norm/": "transformer.ln_f.",
}
LEAVES = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"}


class Golden:
    def __init__(self, name):
        with np.load(GOLDEN / f"{name}.npz") as arrays:
            self.arrays = dict(arrays)

    def part(self, kind):
        return {k.removeprefix(kind): v for k, v in self.arrays.items() if k.startswith(kind)}

    def assign(self, model, names, transposed):
        """Fills every weight of the model; `transposed`: kernels lie (out, in) in the file."""
        weights = self.part("weight/")
        for variable in model.weights:
            path = variable.path.split("/", 1)[1]
            block = re.search(r"block_(\d+)", path)
            path = re.sub(r"block_\d+", "block_{i}", path)
            ours = path if path in names else path.rpartition("/")[0] + "/"
            theirs = names[ours].replace("{i}", block[1] if block else "")
            leaf = path.rpartition("/")[2]
            if path not in names:
                theirs += LEAVES[leaf]
            parts = ("query", "key", "value") if "{part}" in theirs else ("",)
            tensors = [weights[theirs.replace("{part}", part)] for part in parts]
            if leaf == "kernel" and transposed:
                tensors = [tensor.T for tensor in tensors]
            variable.assign(np.concatenate(tensors, -1))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gelu", {"num_attention_heads": 3, "num_hidden_units": 20}),
        (
            "odd",
            {
                "num_attention_heads": 1,
                "num_hidden_units": 37,
                "num_segments": 3,
                "activation": "gelu_tanh",
                "layer_norm_epsilon": 1e-3,
            },
        ),
    ],
)
def test_bert_has_the_numbers_of_transformers(name, options):
    golden = Golden(f"bert_{name}")
    model = BERT(
        vocab_size=31,
        hidden_size=12,
        num_layers=2,
        max_length=11,
        heads=("masked_lm", "next_sentence"),
        **options,
    )
    model.build()
    golden.assign(model, BERT_NAMES, transposed=True)
    inputs, outputs = golden.part("input/"), golden.part("output/")
    real = inputs["padding_mask"].astype("bool")
    found = model({**inputs, "padding_mask": real})
    _, states = model.encoder({**inputs, "padding_mask": real}, return_hidden_states=True)
    np.testing.assert_allclose(found["masked_lm"], outputs["masked_lm"], atol=1e-5)
    np.testing.assert_allclose(found["next_sentence"], outputs["next_sentence"], atol=1e-5)
    for i, state in enumerate(states):
        np.testing.assert_allclose(state, outputs[f"hidden_{i}"], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gelu_new", {"num_attention_heads": 3, "num_hidden_units": 48}),
        (
            "odd",
            {
                "num_attention_heads": 1,
                "num_hidden_units": 37,
                "activation": "gelu",
                "layer_norm_epsilon": 1e-3,
            },
        ),
    ],
)
def test_gpt_has_the_numbers_of_transformers(name, options):
    golden = Golden(f"gpt2_{name}")
    model = GPT(vocab_size=31, hidden_size=12, num_layers=2, max_length=24, **options)
    model.build()
    golden.assign(model, GPT2_NAMES, transposed=False)
    token_ids, outputs = golden.part("input/")["token_ids"], golden.part("output/")
    np.testing.assert_allclose(model(token_ids), outputs["causal_lm"], atol=1e-5)
    last, states = model.decoder(token_ids, return_hidden_states=True)
    for i, state in enumerate([*states[:-1], last]):
        np.testing.assert_allclose(state, outputs[f"hidden_{i}"], atol=1e-5)
    assert model.generate(token_ids, max_new_tokens=15) == outputs["greedy"].tolist()
