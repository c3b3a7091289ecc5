"""GPT-2, there and here."""

import warnings
from collections.abc import Mapping
from typing import Any

from keras_lm.checkpoints.config import THEIR_ACTIVATIONS, Config
from keras_lm.checkpoints.family import Family
from keras_lm.models import GPT

NAMES = {
    "decoder/embedding/tokens/embeddings": "transformer.wte.weight",
    "decoder/embedding/positions/embeddings": "transformer.wpe.weight",
    "decoder/embedding/positions/projection/": "transformer.wpe_projection.",
    "decoder/block_{i}/attention/query_key_value/": "transformer.h.{i}.attn.c_attn.",
    "decoder/block_{i}/attention/output/": "transformer.h.{i}.attn.c_proj.",
    "decoder/block_{i}/attention_norm/": "transformer.h.{i}.ln_1.",
    "decoder/block_{i}/feed_forward_in/": "transformer.h.{i}.mlp.c_fc.",
    "decoder/block_{i}/feed_forward_out/": "transformer.h.{i}.mlp.c_proj.",
    "decoder/block_{i}/feed_forward_norm/": "transformer.h.{i}.ln_2.",
    "decoder/norm/": "transformer.ln_f.",
    "classifier/": "score.",
    "token_classifier/": "classifier.",
    "span/": "qa_outputs.",
}


def arguments(config: Config) -> dict[str, Any]:
    """The constructor's arguments, of config.json and Transformers' defaults."""
    config.must_be("scale_attn_weights", True)
    config.must_be("scale_attn_by_inverse_layer_idx", False)
    config.must_be("add_cross_attention", False)
    config.must_be("tie_word_embeddings", True)
    config.must_be("pruned_heads", {}, None)
    # It keeps a product in float32 under half precision; scores are float32 here anyway.
    config.harmless("reorder_and_upcast_attn")
    # The length of a buffer; Transformers itself has not looked at it since version 4.
    config.harmless("n_ctx")
    hidden_size = config.size("n_embd", 768)
    if config.get("n_inner", None) is None:
        num_hidden_units = 4 * hidden_size
    else:
        num_hidden_units = config.size("n_inner", 4 * hidden_size)
    rate, embedding_rate = config.number("resid_pdrop", 0.1), config.number("embd_pdrop", 0.1)
    if embedding_rate != rate:
        warnings.warn(
            f"{config.path} has embd_pdrop={embedding_rate} and resid_pdrop={rate}; in training "
            "the latter is the rate of both here.",
            stacklevel=2,
        )
    return {
        "vocab_size": config.size("vocab_size", 50_257),
        "hidden_size": hidden_size,
        "num_layers": config.size("n_layer", 12),
        "num_attention_heads": config.size("n_head", 12),
        "num_hidden_units": num_hidden_units,
        "dropout_rate": rate,
        "attention_dropout_rate": config.number("attn_pdrop", 0.1),
        "max_length": config.size("n_positions", 1_024),
        "activation": config.activation("activation_function", "gelu_new"),
        "layer_norm_epsilon": config.number("layer_norm_epsilon", 1e-5),
        "initializer_range": config.number("initializer_range", 0.02),
    }


def fields(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields of config.json, of the constructor's arguments."""
    if values["pos_embedding_size"] not in (None, values["hidden_size"]):
        return None
    if values["activation"] not in THEIR_ACTIVATIONS:
        return None
    rate = values["attention_dropout_rate"]
    return {
        "vocab_size": values["vocab_size"],
        "n_embd": values["hidden_size"],
        "n_layer": values["num_layers"],
        "n_head": values["num_attention_heads"],
        "n_inner": values["num_hidden_units"],
        "resid_pdrop": values["dropout_rate"],
        "embd_pdrop": values["dropout_rate"],
        "attn_pdrop": values["dropout_rate"] if rate is None else rate,
        "n_positions": values["max_length"],
        "activation_function": THEIR_ACTIVATIONS[values["activation"]],
        "layer_norm_epsilon": values["layer_norm_epsilon"],
        "initializer_range": values["initializer_range"],
    }


FAMILY = Family(
    model_type="gpt2",
    model=GPT,
    prefix="transformer.",
    names=NAMES,
    architectures={
        "GPT2LMHeadModel": {"heads": ("causal_lm",)},
        "GPT2Model": {"heads": ()},
    },
    arguments=arguments,
    fields=fields,
    tokens="decoder/embedding/tokens/embeddings",
    signs={"causal_lm": "transformer.wte.weight"},
    tied={"lm_head.weight": "transformer.wte.weight"},
    # Masks that older versions kept among the weights.
    leftovers=(r"(^|\.)h\.\d+\.attn\.(bias|masked_bias)$",),
    transposed=False,
    linear=("classifier/", "token_classifier/", "span/"),
    title="GPT2",
    dropouts={"token_classification": "classifier_dropout"},
)
