"""The backbones of keras-nlp: ours -> theirs, and what their classes fix.

Theirs are their weights' paths, with "." for "/" and PyTorch's words for kernels and norms, as of
`Family.names`. Kernels of attentions have the heads apart there: `keras_nlp_presets` puts them
together.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_lm.checkpoints.bart import FAMILY as BART
from keras_lm.checkpoints.bert import FAMILY as BERT
from keras_lm.checkpoints.distilbert import FAMILY as DISTILBERT
from keras_lm.checkpoints.electra import FAMILY as ELECTRA
from keras_lm.checkpoints.family import Family
from keras_lm.checkpoints.gpt2 import FAMILY as GPT2
from keras_lm.checkpoints.roberta import FAMILY as ROBERTA

_CROSS = "transformer_decoder_layer_{i}.cross_attention."
_NO_SEGMENT = "no_segment"


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A class of keras-nlp.

    Attributes:
        family: of ours.
        names: ours -> theirs.
        fixed: arguments of our constructor that the class of theirs does not let one choose; they
            are what its code says, which for BERT and ELECTRA is another GELU than the papers'.
        sizes: arguments of ours -> of theirs.
        tokenizer: fields of a tokenizer_config.json that say which kind it is.
        leftovers: patterns of weights that have no place here.
        first_rows: tables -> how many rows of zeros come before their first.
        zeros: tables of one row of zeros that are theirs in name alone -> one of the same width.
    """

    family: Family
    names: Mapping[str, str]
    fixed: Mapping[str, Any]
    sizes: Mapping[str, str]
    tokenizer: Mapping[str, Any]
    leftovers: tuple[str, ...] = ()
    first_rows: Mapping[str, int] = dataclasses.field(default_factory=dict)
    zeros: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def as_family(self) -> Family:
        """Gives the family with these names, whose kernels lie as ours do."""
        return dataclasses.replace(
            self.family,
            names=self.names,
            prefix="",
            parts=("query", "key", "value"),
            tied={},
            leftovers=self.leftovers,
            transposed=False,
        )


_SIZES = {
    "vocab_size": "vocabulary_size",
    "hidden_size": "hidden_dim",
    "num_layers": "num_layers",
    "num_attention_heads": "num_heads",
    "num_hidden_units": "intermediate_dim",
    "dropout_rate": "dropout",
    "max_length": "max_sequence_length",
}


def _block(ours: str, theirs: str, attention: str) -> dict[str, str]:
    """Names of a block: ours and theirs are what stands before its parts."""
    return {
        f"{ours}/attention/query_key_value/": f"{theirs}.{attention}.{{part}}.",
        f"{ours}/attention/output/": f"{theirs}.{attention}.attention_output.",
        f"{ours}/attention_norm/": f"{theirs}.self_attention_layer_norm.",
        f"{ours}/feed_forward_in/": f"{theirs}.feedforward_intermediate_dense.",
        f"{ours}/feed_forward_out/": f"{theirs}.feedforward_output_dense.",
        f"{ours}/feed_forward_norm/": f"{theirs}.feedforward_layer_norm.",
    }


_ENCODER = _block("encoder/block_{i}", "transformer_layer_{i}", "self_attention_layer")

BACKBONES = {
    "BertBackbone": Backbone(
        BERT,
        {
            "encoder/embedding/tokens/embeddings": "token_embedding.embeddings",
            "encoder/embedding/segments/embeddings": "segment_embedding.embeddings",
            "encoder/embedding/positions/embeddings": "position_embedding.embeddings",
            "encoder/embedding/norm/": "embeddings_layer_norm.",
            "pooler/": "pooled_dense.",
            **_ENCODER,
        },
        {"activation": "gelu_tanh", "layer_norm_epsilon": 1e-12, "heads": (), "pooler": True},
        {**_SIZES, "num_segments": "num_segments"},
        {"tokenizer_class": "BertTokenizer"},
    ),
    "RobertaBackbone": Backbone(
        ROBERTA,
        {
            "encoder/embedding/tokens/embeddings": "embeddings.token_embedding.embeddings",
            "encoder/embedding/positions/embeddings": "embeddings.position_embedding.embeddings",
            "encoder/embedding/segments/embeddings": _NO_SEGMENT,
            "encoder/embedding/norm/": "embeddings_layer_norm.",
            **_ENCODER,
        },
        {
            "activation": "gelu",
            "layer_norm_epsilon": 1e-5,
            "first_position": 2,
            "num_segments": 1,
            "heads": (),
        },
        _SIZES,
        {"tokenizer_class": "RobertaTokenizer"},
        # Rows that are never read, and a segment that adds nothing: Transformers' RoBERTa has them.
        first_rows={"embeddings.position_embedding.embeddings": 2},
        zeros={_NO_SEGMENT: "embeddings.position_embedding.embeddings"},
    ),
    "DistilBertBackbone": Backbone(
        DISTILBERT,
        {
            "encoder/embedding/tokens/embeddings": (
                "token_and_position_embedding.token_embedding.embeddings"
            ),
            "encoder/embedding/positions/embeddings": (
                "token_and_position_embedding.position_embedding.embeddings"
            ),
            "encoder/embedding/norm/": "embeddings_layer_norm.",
            **_ENCODER,
        },
        {"activation": "gelu", "layer_norm_epsilon": 1e-12, "heads": ()},
        _SIZES,
        {"tokenizer_class": "DistilBertTokenizer"},
    ),
    "ElectraBackbone": Backbone(
        ELECTRA,
        {
            "encoder/embedding/tokens/embeddings": "token_embedding.embeddings",
            "encoder/embedding/segments/embeddings": "segment_embedding.embeddings",
            "encoder/embedding/positions/embeddings": "position_embedding.embeddings",
            "encoder/embedding/norm/": "embeddings_layer_norm.",
            "encoder/projection/": "embeddings_projection.",
            **_ENCODER,
        },
        {"activation": "gelu_tanh", "layer_norm_epsilon": 1e-12, "heads": ()},
        {
            **_SIZES,
            "vocab_size": "vocab_size",
            "embedding_size": "embedding_dim",
            "num_segments": "num_segments",
        },
        {"tokenizer_class": "ElectraTokenizer"},
        # A layer of keras-nlp's own; ELECTRA has no pooler.
        leftovers=(r"^pooled_dense\.",),
    ),
    "BartBackbone": Backbone(
        BART,
        {
            "tokens/embeddings": "token_embedding.embeddings",
            "encoder/embedding/positions/embeddings": "encoder_position_embedding.embeddings",
            "encoder/embedding/norm/": "encoder_embeddings_layer_norm.",
            **_block("encoder/block_{i}", "transformer_encoder_layer_{i}", "self_attention_layer"),
            "decoder/embedding/positions/embeddings": "decoder_position_embedding.embeddings",
            "decoder/embedding/norm/": "decoder_embeddings_layer_norm.",
            **_block("decoder/block_{i}", "transformer_decoder_layer_{i}", "self_attention"),
            "decoder/block_{i}/cross_attention/query/": _CROSS + "query.",
            "decoder/block_{i}/cross_attention/key_value/": _CROSS + "{part}.",
            "decoder/block_{i}/cross_attention/output/": _CROSS + "attention_output.",
            "decoder/block_{i}/cross_attention_norm/": (
                "transformer_decoder_layer_{i}.cross_attention_layer_norm."
            ),
        },
        {
            "activation": "gelu",
            "layer_norm_epsilon": 1e-5,
            "position_kind": "learned",
            "first_position": 2,
            "scale_embedding": False,
            "normalize_embedding": True,
            "heads": ("seq2seq",),
        },
        _SIZES,
        {"tokenizer_class": "BartTokenizer"},
        # Rows that are never read: Transformers' BART has them.
        first_rows={
            "encoder_position_embedding.embeddings": 2,
            "decoder_position_embedding.embeddings": 2,
        },
    ),
    "GPT2Backbone": Backbone(
        GPT2,
        {
            "decoder/embedding/tokens/embeddings": "token_embedding.embeddings",
            "decoder/embedding/positions/embeddings": "position_embedding.embeddings",
            **_block("decoder/block_{i}", "transformer_layer_{i}", "self_attention"),
            "decoder/norm/": "layer_norm.",
        },
        {"activation": "gelu_tanh", "layer_norm_epsilon": 1e-5, "heads": ("causal_lm",)},
        _SIZES,
        {"tokenizer_class": "GPT2Tokenizer"},
    ),
}
