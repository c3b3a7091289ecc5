"""DistilBERT, there and here."""

from collections.abc import Mapping
from typing import Any

from keras_lm.checkpoints.config import THEIR_ACTIVATIONS, Config
from keras_lm.checkpoints.family import Family
from keras_lm.models import DistilBERT

NAMES = {
    "encoder/embedding/tokens/embeddings": "distilbert.embeddings.word_embeddings.weight",
    "encoder/embedding/positions/embeddings": "distilbert.embeddings.position_embeddings.weight",
    "encoder/embedding/positions/projection/": "distilbert.embeddings.position_projection.",
    "encoder/embedding/norm/": "distilbert.embeddings.LayerNorm.",
    "encoder/block_{i}/attention/query_key_value/": (
        "distilbert.transformer.layer.{i}.attention.{part}."
    ),
    "encoder/block_{i}/attention/output/": "distilbert.transformer.layer.{i}.attention.out_lin.",
    "encoder/block_{i}/attention_norm/": "distilbert.transformer.layer.{i}.sa_layer_norm.",
    "encoder/block_{i}/feed_forward_in/": "distilbert.transformer.layer.{i}.ffn.lin1.",
    "encoder/block_{i}/feed_forward_out/": "distilbert.transformer.layer.{i}.ffn.lin2.",
    "encoder/block_{i}/feed_forward_norm/": "distilbert.transformer.layer.{i}.output_layer_norm.",
    "masked_lm/dense/": "vocab_transform.",
    "masked_lm/norm/": "vocab_layer_norm.",
    "masked_lm/bias": "vocab_projector.bias",
    "pre_classifier/": "pre_classifier.",
    "classifier/": "classifier.",
    "token_classifier/": "classifier.",
    "span/": "qa_outputs.",
}
# Its code has no field for it.
_EPSILON = 1e-12


def arguments(config: Config) -> dict[str, Any]:
    """The constructor's arguments, of config.json and Transformers' defaults."""
    config.must_be("tie_word_embeddings", True)
    config.must_be("tie_weights_", True)
    config.must_be("pruned_heads", {}, None)
    return {
        "vocab_size": config.size("vocab_size", 30_522),
        "hidden_size": config.size("dim", 768),
        "num_layers": config.size("n_layers", 6, least=0),
        "num_attention_heads": config.size("n_heads", 12),
        "num_hidden_units": config.size("hidden_dim", 3_072),
        "dropout_rate": config.number("dropout", 0.1),
        "attention_dropout_rate": config.number("attention_dropout", 0.1),
        "max_length": config.size("max_position_embeddings", 512),
        "sinusoidal_positions": bool(config.get("sinusoidal_pos_embds", False)),
        "activation": config.activation("activation", "gelu"),
        "layer_norm_epsilon": _EPSILON,
        "initializer_range": config.number("initializer_range", 0.02),
    }


def fields(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields of config.json, of the constructor's arguments."""
    if values["pos_embedding_size"] not in (None, values["hidden_size"]):
        return None
    if values["activation"] not in THEIR_ACTIVATIONS or values["layer_norm_epsilon"] != _EPSILON:
        return None
    rate = values["attention_dropout_rate"]
    return {
        "vocab_size": values["vocab_size"],
        "dim": values["hidden_size"],
        "n_layers": values["num_layers"],
        "n_heads": values["num_attention_heads"],
        "hidden_dim": values["num_hidden_units"],
        "dropout": values["dropout_rate"],
        "attention_dropout": values["dropout_rate"] if rate is None else rate,
        "max_position_embeddings": values["max_length"],
        "sinusoidal_pos_embds": values["sinusoidal_positions"],
        "activation": THEIR_ACTIVATIONS[values["activation"]],
        "initializer_range": values["initializer_range"],
    }


FAMILY = Family(
    model_type="distilbert",
    model=DistilBERT,
    prefix="distilbert.",
    names=NAMES,
    parts=("q_lin", "k_lin", "v_lin"),
    architectures={
        "DistilBertForMaskedLM": {"heads": ("masked_lm",)},
        "DistilBertModel": {"heads": ()},
    },
    arguments=arguments,
    fields=fields,
    tokens="encoder/embedding/tokens/embeddings",
    signs={"masked_lm": "vocab_projector.bias"},
    tied={"vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight"},
    title="DistilBert",
    dropouts={
        "text_classification": "seq_classif_dropout",
        "question_answering": "qa_dropout",
    },
    leftovers=(r"^(distilbert\.)?embeddings\.position_ids$",),
)
