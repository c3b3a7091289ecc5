"""The two models in a checkpoint of Google's own ELECTRA code, which comes without a config.

The discriminator is under `electra`, the generator under `generator`; embeddings are the
discriminator's, unless they were trained apart. Sizes are those of the tensors, and heads are what
its code makes of them: one for each 64 of the hidden size (`get_bert_config` in its
`util/training_utils.py`, `get_generator_config` in its `run_pretraining.py`).
"""

import re
from typing import Any

import numpy as np

from keras_lm.checkpoints.tensors import TensorFile

_HEADS = ("discriminator_predictions.", "generator_predictions.", "generator_lm_head.")
_HEAD_WIDTH = 64


def is_electra(file: TensorFile) -> bool:
    """Says whether a checkpoint is one of ELECTRA's."""
    return any(name.startswith(("electra.", "generator.")) for name in file.infos)


class ElectraPart(TensorFile):
    """One of the two models, with the names that it has alone.

    Args:
        file: the checkpoint.
        generator: the generator, or else the discriminator.
    """

    def __init__(self, file: TensorFile, generator: bool) -> None:
        self._file = file
        names = set(file.infos)
        self._name_of = {}
        apart = any(name.startswith("generator.encoder.") for name in names)
        for name in sorted(names):
            if name.startswith(_HEADS):
                if name.startswith("discriminator") != generator:
                    self._name_of[name] = name
                continue
            rest = name.partition(".")[2]
            own = f"{'generator' if generator and apart else 'electra'}.{rest}"
            if rest.startswith("embeddings.") and own not in names:
                own = f"electra.{rest}"
            if own == name:
                self._name_of[f"electra.{rest}"] = name
        self.infos = {name: file.infos[there] for name, there in self._name_of.items()}

    def read(self, name: str) -> np.ndarray:
        """Reads a tensor."""
        return self._file.read(self._name_of[name])

    def close(self) -> None:
        """The checkpoint belongs to somebody else."""


def config_fields(part: ElectraPart) -> dict[str, Any]:
    """Gives the fields of a config.json, of the shapes of the tensors.

    Raises:
        KeyError: a tensor that tells a size is missing.
    """
    shapes = {name: info.shape for name, info in part.infos.items()}
    vocab_size, embedding_size = shapes["electra.embeddings.word_embeddings.weight"]
    layers = {
        int(found[1])
        for name in shapes
        if (found := re.match(r"electra\.encoder\.layer\.(\d+)\.", name))
    }
    intermediate_size, hidden_size = shapes["electra.encoder.layer.0.intermediate.dense.weight"]
    return {
        "model_type": "electra",
        "vocab_size": vocab_size,
        "embedding_size": embedding_size,
        "hidden_size": hidden_size,
        "num_hidden_layers": len(layers),
        "num_attention_heads": max(1, hidden_size // _HEAD_WIDTH),
        "intermediate_size": intermediate_size,
        "max_position_embeddings": shapes["electra.embeddings.position_embeddings.weight"][0],
        "type_vocab_size": shapes["electra.embeddings.token_type_embeddings.weight"][0],
    }
