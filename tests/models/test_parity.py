"""The numbers of Transformers' own models; `make_golden.py` wrote what is compared with."""

import numpy as np
import pytest
from golden_files import Golden

from keras_lm import BERT, ELECTRA, GPT, DistilBERT, RoBERTa

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
ROBERTA_NAMES = {
    **{
        ours: theirs.replace("bert.", "roberta.", 1)
        for ours, theirs in BERT_NAMES.items()
        if ours.startswith("encoder/")
    },
    "masked_lm/dense/": "lm_head.dense.",
    "masked_lm/norm/": "lm_head.layer_norm.",
    "masked_lm/bias": "lm_head.bias",
}
ELECTRA_NAMES = {
    **{
        ours: theirs.replace("bert.", "electra.", 1)
        for ours, theirs in BERT_NAMES.items()
        if ours.startswith("encoder/")
    },
    "encoder/projection/": "electra.embeddings_project.",
    "replaced_token/dense/": "discriminator_predictions.dense.",
    "replaced_token/output/": "discriminator_predictions.dense_prediction.",
    "masked_lm/dense/": "generator_predictions.dense.",
    "masked_lm/norm/": "generator_predictions.LayerNorm.",
    "masked_lm/bias": "generator_lm_head.bias",
}
_LAYER = "distilbert.transformer.layer.{i}."
DISTILBERT_NAMES = {
    "encoder/embedding/tokens/embeddings": "distilbert.embeddings.word_embeddings.weight",
    "encoder/embedding/positions/embeddings": "distilbert.embeddings.position_embeddings.weight",
    "encoder/embedding/norm/": "distilbert.embeddings.LayerNorm.",
    "encoder/block_{i}/attention/query_key_value/": _LAYER + "attention.{part}_lin.",
    "encoder/block_{i}/attention/output/": _LAYER + "attention.out_lin.",
    "encoder/block_{i}/attention_norm/": _LAYER + "sa_layer_norm.",
    "encoder/block_{i}/feed_forward_in/": _LAYER + "ffn.lin1.",
    "encoder/block_{i}/feed_forward_out/": _LAYER + "ffn.lin2.",
    "encoder/block_{i}/feed_forward_norm/": _LAYER + "output_layer_norm.",
    "masked_lm/dense/": "vocab_transform.",
    "masked_lm/norm/": "vocab_layer_norm.",
    "masked_lm/bias": "vocab_projector.bias",
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


ODD = {
    "num_layers": 1,
    "num_attention_heads": 1,
    "activation": "gelu_tanh",
    "layer_norm_epsilon": 1e-3,
}
DISCRIMINATOR, GENERATOR = {"heads": ("replaced_token",)}, {"heads": ("masked_lm",)}


@pytest.mark.parametrize(
    ("name", "model_class", "names", "options"),
    [
        ("roberta_gelu", RoBERTa, ROBERTA_NAMES, {}),
        ("roberta_odd", RoBERTa, ROBERTA_NAMES, {**ODD, "first_position": 4, "num_segments": 2}),
        ("distilbert_gelu", DistilBERT, DISTILBERT_NAMES, {}),
        (
            "distilbert_odd",
            DistilBERT,
            DISTILBERT_NAMES,
            {"num_layers": 1, "num_attention_heads": 1, "activation": "relu"},
        ),
        ("electra_gelu", ELECTRA, ELECTRA_NAMES, {**DISCRIMINATOR, "embedding_size": 6}),
        ("electra_odd", ELECTRA, ELECTRA_NAMES, {**DISCRIMINATOR, **ODD, "num_segments": 3}),
        (
            "electra_generator",
            ELECTRA,
            ELECTRA_NAMES,
            {**GENERATOR, **ODD, "embedding_size": 5, "activation": "relu"},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_encoder_has_the_numbers_of_transformers(name, model_class, names, options):
    golden = Golden(name)
    sizes = {"num_layers": 2, "num_attention_heads": 2, "num_hidden_units": 13, "max_length": 11}
    model = model_class(vocab_size=31, hidden_size=8, **{**sizes, **options})
    model.build()
    golden.assign(model, names, transposed=True)
    inputs, outputs = golden.part("input/"), golden.part("output/")
    real = inputs["padding_mask"].astype("bool")
    inputs = {**inputs, "padding_mask": real}
    # RoBERTa gives padding no positions, and nobody looks at it.
    np.testing.assert_allclose(
        np.asarray(model(inputs))[real], outputs[model.heads[0]][real], atol=1e-5
    )
    _, states = model.encoder(inputs, return_hidden_states=True)
    for i, state in enumerate(states):
        np.testing.assert_allclose(np.asarray(state)[real], outputs[f"hidden_{i}"][real], atol=1e-5)


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
