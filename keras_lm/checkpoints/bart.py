"""BART, there and here a `Transformer` by its arguments."""

import warnings
from collections.abc import Mapping
from typing import Any

from keras_lm.checkpoints.config import THEIR_ACTIVATIONS, Config
from keras_lm.checkpoints.family import Family
from keras_lm.models import Transformer

_BLOCK = {
    "attention/query_key_value/": "self_attn.{part}.",
    "attention/output/": "self_attn.out_proj.",
    "attention_norm/": "self_attn_layer_norm.",
    "cross_attention/query/": "encoder_attn.q_proj.",
    "cross_attention/key_value/": "encoder_attn.{part}.",
    "cross_attention/output/": "encoder_attn.out_proj.",
    "cross_attention_norm/": "encoder_attn_layer_norm.",
    "feed_forward_in/": "fc1.",
    "feed_forward_out/": "fc2.",
    "feed_forward_norm/": "final_layer_norm.",
}


def _stack(ours: str) -> dict[str, str]:
    """Names of the encoder, or of the decoder."""
    return {
        f"{ours}/embedding/positions/embeddings": f"model.{ours}.embed_positions.weight",
        f"{ours}/embedding/positions/projection/": f"model.{ours}.position_projection.",
        f"{ours}/embedding/norm/": f"model.{ours}.layernorm_embedding.",
        **{
            f"{ours}/block_{{i}}/{part}": f"model.{ours}.layers.{{i}}.{theirs}"
            for part, theirs in _BLOCK.items()
        },
    }


NAMES = {
    "tokens/embeddings": "model.shared.weight",
    **_stack("encoder"),
    **_stack("decoder"),
    "seq2seq/bias": "final_logits_bias",
    "dense/": "classification_head.dense.",
    "classifier/": "classification_head.out_proj.",
    "span/": "qa_outputs.",
}
# Its code has no field for these.
_FIRST_POSITION = 2
_EPSILON = 1e-5


def arguments(config: Config) -> dict[str, Any]:
    """The constructor's arguments, of config.json and Transformers' defaults."""
    config.must_be("is_encoder_decoder", True)
    config.must_be("is_decoder", False)
    config.must_be("tie_word_embeddings", True)
    config.must_be("pruned_heads", {}, None)
    # What the first BARTs could be told, and none was.
    config.must_be("normalize_before", False)
    config.must_be("normalize_embedding", True)
    config.must_be("add_final_layer_norm", False)
    config.must_be("add_bias_logits", False)
    config.must_be("static_position_embeddings", False)
    config.must_be("extra_pos_embeddings", _FIRST_POSITION)
    config.harmless("num_hidden_layers", "classif_dropout", "_num_labels")
    for name in ("activation_dropout", "encoder_layerdrop", "decoder_layerdrop"):
        if config.number(name, 0.0):
            warnings.warn(
                f"{config.path} has {name}={config.number(name, 0.0)}; in training there is no "
                "such dropout here.",
                stacklevel=2,
            )
    return {
        "vocab_size": config.size("vocab_size", 50_265),
        "hidden_size": config.size("d_model", 1_024),
        "num_layers": config.size("encoder_layers", 12, least=0),
        "num_attention_heads": config.size("encoder_attention_heads", 16),
        "num_hidden_units": config.size("encoder_ffn_dim", 4_096),
        "num_decoder_layers": config.size("decoder_layers", 12),
        "num_decoder_attention_heads": config.size("decoder_attention_heads", 16),
        "num_decoder_hidden_units": config.size("decoder_ffn_dim", 4_096),
        "dropout_rate": config.number("dropout", 0.1),
        "attention_dropout_rate": config.number("attention_dropout", 0.0),
        "max_length": config.size("max_position_embeddings", 1_024),
        "position_kind": "learned",
        "first_position": _FIRST_POSITION,
        "scale_embedding": bool(config.get("scale_embedding", False)),
        "normalize_embedding": True,
        "activation": config.activation("activation_function", "gelu"),
        "layer_norm_epsilon": _EPSILON,
        "initializer_range": config.number("init_std", 0.02),
        "decoder_start_ids": _start_ids(config),
        "end_id": _end_id(config),
    }


def _start_ids(config: Config) -> tuple[int, ...]:
    """Gives what a target begins with: a token, and another that is always the first to come."""
    start = config.get("decoder_start_token_id", 2)
    forced = config.get("forced_bos_token_id", None)
    if config.get("force_bos_token_to_be_generated", False):
        forced = config.get("bos_token_id", 0)
    start = config.generation.get("decoder_start_token_id", start)
    forced = config.generation.get("forced_bos_token_id", forced)
    ids = [id_ for id_ in (start, forced) if id_ is not None]
    if not all(isinstance(id_, int) and not isinstance(id_, bool) for id_ in ids):
        config.refuse("decoder_start_token_id", "What a target begins with must be ids.")
    return tuple(ids)


def _end_id(config: Config) -> int | None:
    """Gives what ends a target; of several ends the first."""
    end = config.generation.get("eos_token_id", config.get("eos_token_id", 2))
    if isinstance(end, list) and end:
        if len(end) > 1:
            warnings.warn(f"{config.path} has several ends; {end[0]} is the one.", stacklevel=2)
        end = end[0]
    if end is not None and (not isinstance(end, int) or isinstance(end, bool)):
        config.refuse("eos_token_id", "eos_token_id must be an id.")
    return end


def fields(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields of config.json, of the constructor's arguments."""
    fixed = {
        "position_kind": "learned",
        "first_position": _FIRST_POSITION,
        "normalize_embedding": True,
        "layer_norm_epsilon": _EPSILON,
    }
    start = values["decoder_start_ids"]
    if any(values[name] != value for name, value in fixed.items()) or len(start or ()) > 2:
        return None
    if values["pos_embedding_size"] not in (None, values["hidden_size"]):
        return None
    if values["activation"] not in THEIR_ACTIVATIONS:
        return None
    rate, spread = values["attention_dropout_rate"], values["initializer_range"]

    def of_decoder(name: str) -> Any:
        own = values[name.replace("num_", "num_decoder_")]
        return values[name] if own is None else own

    said = {
        "vocab_size": values["vocab_size"],
        "d_model": values["hidden_size"],
        "encoder_layers": values["num_layers"],
        "encoder_attention_heads": values["num_attention_heads"],
        "encoder_ffn_dim": values["num_hidden_units"],
        "decoder_layers": of_decoder("num_layers"),
        "decoder_attention_heads": of_decoder("num_attention_heads"),
        "decoder_ffn_dim": of_decoder("num_hidden_units"),
        "dropout": values["dropout_rate"],
        "attention_dropout": values["dropout_rate"] if rate is None else rate,
        "max_position_embeddings": values["max_length"],
        "scale_embedding": values["scale_embedding"],
        "activation_function": THEIR_ACTIVATIONS[values["activation"]],
        "init_std": 0.02 if spread is None else spread,
        "is_encoder_decoder": True,
    }
    if start is not None:
        said["decoder_start_token_id"] = start[0]
        said["forced_bos_token_id"] = start[1] if len(start) == 2 else None
    if values["end_id"] is not None:
        said["eos_token_id"] = values["end_id"]
    return said


FAMILY = Family(
    model_type="bart",
    model=Transformer,
    prefix="model.",
    names=NAMES,
    parts=("q_proj", "k_proj", "v_proj"),
    architectures={
        "BartForConditionalGeneration": {"heads": ("seq2seq",)},
        "BartModel": {"heads": ()},
    },
    arguments=arguments,
    fields=fields,
    tokens="tokens/embeddings",
    signs={"seq2seq": "model.shared.weight"},
    tied={
        "lm_head.weight": "model.shared.weight",
        "model.encoder.embed_tokens.weight": "model.shared.weight",
        "model.decoder.embed_tokens.weight": "model.shared.weight",
    },
    rows=("final_logits_bias",),
    optional_with_heads={"logits_bias": "final_logits_bias"},
    leftovers=(r"^(model\.)?(encoder|decoder)\.version$",),
    title="Bart",
    dropouts={"text_classification": "classifier_dropout"},
)
