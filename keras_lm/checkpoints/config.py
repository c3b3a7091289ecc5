"""Reads config.json: what changes the computation is honoured or refused by name, never ignored.

Each field that is read counts as honoured. What nobody read and nobody knows to be harmless is
named in one warning.
"""

import json
import pathlib
import warnings
from collections.abc import Mapping
from typing import Any, NoReturn

from keras_lm.training.provenance import Provenance

CONFIG = "config.json"
GENERATION = "generation_config.json"

# Transformers' names of activations, and ours. Those that are missing are refused: prelu has
# weights of its own, leaky_relu has another slope in Keras.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "relu": "relu",
    "relu6": "relu6",
    "silu": "silu",
    "swish": "silu",
    "mish": "mish",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "linear": "linear",
}
# What to call ours there: the first name above that means it.
THEIR_ACTIVATIONS = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}

# Fields that travel along: what files are called, what generation does by default, the names of
# labels, what only training or only Transformers' own code looks at.
TRAVELLING = frozenset(
    """
    bos_token_id eos_token_id pad_token_id sep_token_id cls_token_id mask_token_id unk_token_id
    decoder_start_token_id forced_bos_token_id forced_eos_token_id
    id2label label2id num_labels problem_type finetuning_task task_specific_params
    tokenizer_class prefix language max_length min_length do_sample early_stopping num_beams
    num_beam_groups diversity_penalty temperature top_k top_p typical_p repetition_penalty
    length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids
    num_return_sequences exponential_decay_length_penalty suppress_tokens begin_suppress_tokens
    remove_invalid_values use_cache classifier_dropout qa_dropout seq_classif_dropout
    summary_type summary_use_proj summary_activation summary_proj_to_labels summary_first_dropout
    summary_last_dropout
    """.split()  # noqa: SIM905 - ninety strings are easier to read as a text
)
# Fields that are left behind: about the file or the library that wrote it.
_HARMLESS = frozenset(
    """
    architectures model_type transformers_version torch_dtype dtype _name_or_path name_or_path
    _commit_hash _attn_implementation _attn_implementation_autoset attn_implementation
    output_attentions output_hidden_states output_past output_scores return_dict
    return_dict_in_generate torchscript use_bfloat16 tf_legacy_loss gradient_checkpointing
    chunk_size_feed_forward initializer_factor total_flos
    """.split()  # noqa: SIM905
)


PROVENANCE = "provenance"  # a field of ours: what is known of data and scores


class Config:
    """The fields of one model. Whatever is asked for here is checked for its kind.

    Args:
        values: the parsed file.
        path: of the file, for errors.

    Attributes:
        generation: the fields of generation_config.json, if there is one; they count before those
            of config.json.
    """

    def __init__(self, values: Mapping[str, Any], path: pathlib.Path) -> None:
        self.values, self.path = dict(values), path
        self.generation: Mapping[str, Any] = {}
        self._read: set[str] = set()

    @classmethod
    def of(cls, path: pathlib.Path) -> "Config":
        """Reads a file.

        Raises:
            ValueError: it is no JSON object.
        """
        config = cls(_read_json(path), path)
        if (path.parent / GENERATION).is_file():
            config.generation = _read_json(path.parent / GENERATION)
        return config

    def refuse(self, name: str, rule: str) -> NoReturn:
        """Raises ValueError, naming the field and what it holds."""
        raise ValueError(f"{rule} Received: {self.path} with {name}={self.values.get(name)!r:.200}")

    def get(self, name: str, default: Any) -> Any:
        """Gives a field, or what Transformers takes where it is missing."""
        self._read.add(name)
        return self.values.get(name, default)

    def size(self, name: str, default: int, least: int = 1) -> int:
        """Gives an integer of at least `least`."""
        value = self.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            self.refuse(name, f"{name} must be an integer of at least {least}.")
        return value

    def number(self, name: str, default: float) -> float:
        """Gives a finite number that is not negative."""
        value = self.get(name, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < 1e38:
            self.refuse(name, f"{name} must be a finite number that is not negative.")
        return float(value)

    def activation(self, name: str, default: str) -> str:
        """Gives an activation by our name."""
        value = self.get(name, default)
        if value not in ACTIVATIONS:
            self.refuse(name, f"{name} must be one of {', '.join(ACTIVATIONS)}.")
        return ACTIVATIONS[value]

    def must_be(self, name: str, *allowed: Any) -> None:
        """Refuses a field that asks for what is not computed here; the first is its default."""
        value = self.get(name, allowed[0])
        if value not in allowed or isinstance(value, bool) != isinstance(allowed[0], bool):
            self.refuse(name, f"{name} must be {' or '.join(map(repr, allowed))}.")

    def harmless(self, *names: str) -> None:
        """Takes note of fields that change nothing here."""
        self._read.update(names)

    def travelling(self) -> dict[str, Any]:
        """Gives the fields that are written back as they were."""
        return {name: value for name, value in self.values.items() if name in TRAVELLING}

    def warn_of_the_rest(self) -> None:
        """Warns of the fields that nobody knows, once."""
        known = self._read | TRAVELLING | _HARMLESS
        # What Transformers writes for every model, and where None, False and {} ask for nothing.
        rest = [name for name, value in self.values.items() if name not in known and value]
        if rest:
            warnings.warn(
                f"{self.path} has fields that are not known here; if they change what the model "
                f"computes, it is another model: {', '.join(rest)}",
                stacklevel=2,
            )


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} must be JSON. Received: {path}: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path.name} must be a JSON object. Received: {path}: {values!r:.80}")
    return values


def provenance_of(config: Config) -> Provenance:
    """Reads what was known of a model when it was saved."""
    return Provenance.from_json(config.get(PROVENANCE, {}))
