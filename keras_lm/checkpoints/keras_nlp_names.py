"""The backbones of keras-nlp: ours -> theirs, and what their classes fix.

Theirs are their weights' paths, with "." for "/" and PyTorch's words for kernels and norms, as of
`Family.names`. Kernels of attentions have the heads apart there: `keras_nlp_presets` puts them
together.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_lm.checkpoints.bert import FAMILY as BERT
from keras_lm.checkpoints.family import Family
from keras_lm.checkpoints.gpt2 import FAMILY as GPT2


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
    """

    family: Family
    names: Mapping[str, str]
    fixed: Mapping[str, Any]
    sizes: Mapping[str, str]
    tokenizer: Mapping[str, Any]

    def as_family(self) -> Family:
        """Gives the family with these names, whose kernels lie as ours do."""
        return dataclasses.replace(
            self.family, names=self.names, prefix="", tied={}, leftovers=(), transposed=False
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
