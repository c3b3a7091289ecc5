"""ELECTRA, there and here: the discriminator (ForPreTraining) and the generator (ForMaskedLM)."""

from collections.abc import Mapping
from typing import Any

from keras_lm.checkpoints.bert import encoder_arguments, encoder_fields
from keras_lm.checkpoints.config import Config
from keras_lm.checkpoints.family import Family
from keras_lm.models import ELECTRA

NAMES = {
    "encoder/embedding/tokens/embeddings": "electra.embeddings.word_embeddings.weight",
    "encoder/embedding/segments/embeddings": "electra.embeddings.token_type_embeddings.weight",
    "encoder/embedding/positions/embeddings": "electra.embeddings.position_embeddings.weight",
    "encoder/embedding/positions/projection/": "electra.embeddings.position_projection.",
    "encoder/embedding/norm/": "electra.embeddings.LayerNorm.",
    "encoder/projection/": "electra.embeddings_project.",
    "encoder/block_{i}/attention/query_key_value/": (
        "electra.encoder.layer.{i}.attention.self.{part}."
    ),
    "encoder/block_{i}/attention/output/": "electra.encoder.layer.{i}.attention.output.dense.",
    "encoder/block_{i}/attention_norm/": "electra.encoder.layer.{i}.attention.output.LayerNorm.",
    "encoder/block_{i}/feed_forward_in/": "electra.encoder.layer.{i}.intermediate.dense.",
    "encoder/block_{i}/feed_forward_out/": "electra.encoder.layer.{i}.output.dense.",
    "encoder/block_{i}/feed_forward_norm/": "electra.encoder.layer.{i}.output.LayerNorm.",
    "replaced_token/dense/": "discriminator_predictions.dense.",
    "replaced_token/output/": "discriminator_predictions.dense_prediction.",
    "masked_lm/dense/": "generator_predictions.dense.",
    "masked_lm/norm/": "generator_predictions.LayerNorm.",
    "masked_lm/bias": "generator_lm_head.bias",
    "dense/": "classifier.dense.",
    "classifier/": "classifier.out_proj.",
    "token_classifier/": "classifier.",
    "span/": "qa_outputs.",
}


def arguments(config: Config) -> dict[str, Any]:
    """The constructor's arguments, of config.json and Transformers' defaults."""
    values = encoder_arguments(
        config, hidden_size=256, num_attention_heads=4, intermediate_size=1_024
    )
    return {**values, "embedding_size": config.size("embedding_size", 128)}


def fields(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields of config.json, of the constructor's arguments."""
    size = values["embedding_size"] or values["hidden_size"]
    said = encoder_fields({**values, "hidden_size": size})
    if said is None or values["num_segments"] < 1:
        return None
    return {**said, "hidden_size": values["hidden_size"], "embedding_size": size}


FAMILY = Family(
    model_type="electra",
    model=ELECTRA,
    prefix="electra.",
    names=NAMES,
    architectures={
        "ElectraForPreTraining": {"heads": ("replaced_token",)},
        "ElectraForMaskedLM": {"heads": ("masked_lm",)},
        "ElectraModel": {"heads": ()},
    },
    arguments=arguments,
    fields=fields,
    tokens="encoder/embedding/tokens/embeddings",
    signs={
        "replaced_token": "discriminator_predictions.dense.weight",
        "masked_lm": "generator_lm_head.bias",
    },
    tied={"generator_lm_head.weight": "electra.embeddings.word_embeddings.weight"},
    title="Electra",
    dropouts={
        "text_classification": "classifier_dropout",
        "token_classification": "classifier_dropout",
    },
    leftovers=(r"^(electra\.)?embeddings\.(position|token_type)_ids$",),
)
