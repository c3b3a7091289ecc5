"""RoBERTa, there and here.

There the table of positions counts the rows before the first position, up to the padding id; here
`max_length` does not.
"""

from collections.abc import Mapping
from typing import Any

from keras_lm.checkpoints.bert import encoder_arguments, encoder_fields
from keras_lm.checkpoints.config import Config
from keras_lm.checkpoints.family import Family
from keras_lm.models import RoBERTa

NAMES = {
    "encoder/embedding/tokens/embeddings": "roberta.embeddings.word_embeddings.weight",
    "encoder/embedding/segments/embeddings": "roberta.embeddings.token_type_embeddings.weight",
    "encoder/embedding/positions/embeddings": "roberta.embeddings.position_embeddings.weight",
    "encoder/embedding/positions/projection/": "roberta.embeddings.position_projection.",
    "encoder/embedding/norm/": "roberta.embeddings.LayerNorm.",
    "encoder/block_{i}/attention/query_key_value/": (
        "roberta.encoder.layer.{i}.attention.self.{part}."
    ),
    "encoder/block_{i}/attention/output/": "roberta.encoder.layer.{i}.attention.output.dense.",
    "encoder/block_{i}/attention_norm/": "roberta.encoder.layer.{i}.attention.output.LayerNorm.",
    "encoder/block_{i}/feed_forward_in/": "roberta.encoder.layer.{i}.intermediate.dense.",
    "encoder/block_{i}/feed_forward_out/": "roberta.encoder.layer.{i}.output.dense.",
    "encoder/block_{i}/feed_forward_norm/": "roberta.encoder.layer.{i}.output.LayerNorm.",
    "pooler/": "roberta.pooler.dense.",
    "masked_lm/dense/": "lm_head.dense.",
    "masked_lm/norm/": "lm_head.layer_norm.",
    "masked_lm/bias": "lm_head.bias",
    "dense/": "classifier.dense.",
    "classifier/": "classifier.out_proj.",
    "token_classifier/": "classifier.",
    "span/": "qa_outputs.",
}


def arguments(config: Config) -> dict[str, Any]:
    """The constructor's arguments, of config.json and Transformers' defaults."""
    values = encoder_arguments(config, vocab_size=50_265)
    first = config.size("pad_token_id", 1, least=0) + 1
    if values["max_length"] <= first:
        config.refuse(
            "max_position_embeddings", "max_position_embeddings must be above pad_token_id + 1."
        )
    return {**values, "max_length": values["max_length"] - first, "first_position": first}


def fields(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields of config.json, of the constructor's arguments."""
    said = encoder_fields(values)
    first = values["first_position"]
    # Transformers adds a segment everywhere, and cannot place the first token at row 0.
    if said is None or values["num_segments"] < 1 or first < 1:
        return None
    return {
        **said,
        "max_position_embeddings": values["max_length"] + first,
        "pad_token_id": first - 1,
    }


FAMILY = Family(
    model_type="roberta",
    model=RoBERTa,
    prefix="roberta.",
    names=NAMES,
    architectures={
        "RobertaForMaskedLM": {"heads": ("masked_lm",)},
        "RobertaModel": {"heads": ()},
    },
    arguments=arguments,
    fields=fields,
    tokens="encoder/embedding/tokens/embeddings",
    signs={"masked_lm": "lm_head.bias"},
    tied={
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    },
    optional={"pooler": "roberta.pooler.dense.weight"},
    title="Roberta",
    dropouts={
        "text_classification": "classifier_dropout",
        "token_classification": "classifier_dropout",
    },
    leftovers=(r"^(roberta\.)?embeddings\.(position|token_type)_ids$",),
)
