"""BERT, there and here."""

from collections.abc import Mapping
from typing import Any

from keras_lm.checkpoints.config import THEIR_ACTIVATIONS, Config
from keras_lm.checkpoints.family import Family
from keras_lm.models import BERT

NAMES = {
    "encoder/embedding/tokens/embeddings": "bert.embeddings.word_embeddings.weight",
    "encoder/embedding/segments/embeddings": "bert.embeddings.token_type_embeddings.weight",
    "encoder/embedding/positions/embeddings": "bert.embeddings.position_embeddings.weight",
    "encoder/embedding/positions/projection/": "bert.embeddings.position_projection.",
    "encoder/embedding/norm/": "bert.embeddings.LayerNorm.",
    "encoder/block_{i}/attention/query_key_value/": "bert.encoder.layer.{i}.attention.self.{part}.",
    "encoder/block_{i}/attention/output/": "bert.encoder.layer.{i}.attention.output.dense.",
    "encoder/block_{i}/attention_norm/": "bert.encoder.layer.{i}.attention.output.LayerNorm.",
    "encoder/block_{i}/feed_forward_in/": "bert.encoder.layer.{i}.intermediate.dense.",
    "encoder/block_{i}/feed_forward_out/": "bert.encoder.layer.{i}.output.dense.",
    "encoder/block_{i}/feed_forward_norm/": "bert.encoder.layer.{i}.output.LayerNorm.",
    "pooler/": "bert.pooler.dense.",
    "masked_lm/dense/": "cls.predictions.transform.dense.",
    "masked_lm/norm/": "cls.predictions.transform.LayerNorm.",
    "masked_lm/bias": "cls.predictions.bias",
    "next_sentence/": "cls.seq_relationship.",
    "classifier/": "classifier.",
    "token_classifier/": "classifier.",
    "span/": "qa_outputs.",
}


def encoder_arguments(config: Config, **defaults: int) -> dict[str, Any]:
    """What BERT and its relatives call alike, of config.json and Transformers' defaults.

    Args:
        config: of the model.
        **defaults: of the fields whose default is not that of BERT.
    """

    def size(name: str, default: int, least: int = 1) -> int:
        return config.size(name, defaults.get(name, default), least)

    config.must_be("position_embedding_type", "absolute")
    config.must_be("is_decoder", False)
    config.must_be("add_cross_attention", False)
    config.must_be("tie_word_embeddings", True)
    config.must_be("pruned_heads", {}, None)
    # What Google's multilingual and Chinese models say of themselves.
    config.must_be("directionality", "bidi")
    config.must_be("pooler_type", "first_token_transform")
    config.harmless("pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers")
    config.harmless("pooler_size_per_head")
    return {
        "vocab_size": size("vocab_size", 30_522),
        "hidden_size": size("hidden_size", 768),
        "num_layers": size("num_hidden_layers", 12, least=0),
        "num_attention_heads": size("num_attention_heads", 12),
        "num_hidden_units": size("intermediate_size", 3_072),
        "dropout_rate": config.number("hidden_dropout_prob", 0.1),
        "attention_dropout_rate": config.number("attention_probs_dropout_prob", 0.1),
        "max_length": size("max_position_embeddings", 512),
        "num_segments": size("type_vocab_size", 2),
        "activation": config.activation("hidden_act", "gelu"),
        "layer_norm_epsilon": config.number("layer_norm_eps", 1e-12),
        "initializer_range": config.number("initializer_range", 0.02),
    }


def encoder_fields(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """The same fields, of the constructor's arguments; None where they cannot be said there."""
    if values["pos_embedding_size"] not in (None, values["hidden_size"]):
        return None
    if values["activation"] not in THEIR_ACTIVATIONS:
        return None
    rate = values["attention_dropout_rate"]
    return {
        "vocab_size": values["vocab_size"],
        "hidden_size": values["hidden_size"],
        "num_hidden_layers": values["num_layers"],
        "num_attention_heads": values["num_attention_heads"],
        "intermediate_size": values["num_hidden_units"],
        "hidden_dropout_prob": values["dropout_rate"],
        "attention_probs_dropout_prob": values["dropout_rate"] if rate is None else rate,
        "max_position_embeddings": values["max_length"],
        "type_vocab_size": values["num_segments"],
        "hidden_act": THEIR_ACTIVATIONS[values["activation"]],
        "layer_norm_eps": values["layer_norm_epsilon"],
        "initializer_range": values["initializer_range"],
        "position_embedding_type": "absolute",
    }


FAMILY = Family(
    model_type="bert",
    model=BERT,
    prefix="bert.",
    names=NAMES,
    architectures={
        "BertForPreTraining": {"heads": ("masked_lm", "next_sentence")},
        "BertForMaskedLM": {"heads": ("masked_lm",)},
        "BertForNextSentencePrediction": {"heads": ("next_sentence",)},
        "BertModel": {"heads": ()},
    },
    arguments=encoder_arguments,
    fields=encoder_fields,
    tokens="encoder/embedding/tokens/embeddings",
    signs={"masked_lm": "cls.predictions.bias", "next_sentence": "cls.seq_relationship.weight"},
    tied={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    leftovers=(r"^(bert\.)?embeddings\.(position|token_type)_ids$",),
    optional={"pooler": "bert.pooler.dense.weight"},
    title="Bert",
    dropouts={
        "text_classification": "classifier_dropout",
        "token_classification": "classifier_dropout",
    },
)
