"""What a recipe is made of: its sections, their keys, types and defaults.

The keys of `model` are the arguments of the model's constructor, so they are not listed here.
"""

import inspect
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from keras_lm.models import CATALOG
from keras_lm.models.bert import BERT
from keras_lm.models.distilbert import DistilBERT
from keras_lm.models.electra_pretrainer import ELECTRAPretrainer
from keras_lm.models.gpt import GPT
from keras_lm.models.roberta import RoBERTa

# What can be pre-trained on plain text, each with the tokenizer that is trained for it.
MODELS: dict[str, Any] = {
    model.__name__: model for model in (BERT, DistilBERT, ELECTRAPretrainer, GPT, RoBERTa)
}
TOKENIZERS = dict.fromkeys(MODELS, "wordpiece") | {"GPT": "byte_bpe", "RoBERTa": "byte_bpe"}
SIZES = [name for name, size in CATALOG.items() if size.model in MODELS.values()]

Strategy = Literal["auto", "one_device", "mirrored", "multi_worker"]
Files = Annotated[list[str], BeforeValidator(lambda x: [x] if isinstance(x, str) else x)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A part of a recipe: known keys alone, and nothing is converted into what it is not."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, populate_by_name=True
    )


class Tokenizer(Section):
    """Where the tokenizer comes from: `path`, or it is trained on the text, with `vocab_size`.

    None: as `keras_lm.tokenizers` has it: lower case, and what occurs twice.
    """

    path: str | None = None
    vocab_size: Count | None = None
    lowercase: bool | None = None
    min_frequency: Count | None = None


class MaskedData(Section):
    """As `keras_lm.data.masked_lm` takes them."""

    files: Files
    validation_files: Files | None = None
    sequence_length: Count
    batch_size: Count
    document: Literal["blank_line", "line", "file"] | None = None
    mask_rate: Annotated[float, Field(gt=0, lt=1)] = 0.15
    masking: Literal["token", "whole_word", "span"] = "token"
    next_sentence: bool = False
    across_documents: bool = True


class CausalData(Section):
    """As `keras_lm.data.causal_lm` takes them."""

    files: Files
    validation_files: Files | None = None
    sequence_length: Count
    batch_size: Count
    document: Literal["blank_line", "line", "file"] | None = None
    document_ids: bool = False


class Optimizer(Section):
    """An optimizer and its schedule, as `keras_lm.training` takes them."""

    name: Literal["adamw", "lamb"] = "adamw"
    learning_rate: Positive
    schedule: Literal["linear", "cosine", "inverse_square_root", "constant"] = "linear"
    warmup: Annotated[int, Field(ge=0)] | Share = 0.1
    decay_steps: Count | None = None
    end_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    beta_1: Share = 0.9
    beta_2: Share = 0.999
    epsilon: Positive = 1e-6
    clip_norm: Positive | None = 1.0
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = None


class Training(Section):
    """How long, and how a step is computed."""

    steps: Count | None = None
    epochs: Count | None = None
    steps_per_epoch: Count | None = None
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    gradient_accumulation_steps: Count = 1
    recompute: bool = False
    steps_per_execution: Count = 1
    xla: bool = False
    label_smoothing: Share = 0.0
    sampled_softmax: Count | None = None
    initial_weights: str | None = None


class Checkpoints(Section):
    """As `keras_lm.training.Checkpoints` takes them."""

    every_steps: Count | None = None
    every_minutes: Positive | None = None
    keep: Count = 3
    monitor: str | None = None
    mode: Literal["min", "max"] | None = None


class Monitoring(Section):
    """As `keras_lm.training.Monitor` takes them."""

    every: Count = 1
    gradient_norm: bool = True
    peak_flops: Positive | Literal["measure"] | None = None
    tensorboard: bool = True
    log_seconds: Positive = 30.0


def recipe_class(raw: Mapping[str, Any]) -> type[Section]:
    """Makes the class of recipes for the model that a recipe names.

    Where it names none that is known, `model` has the keys `class` and `size` alone.

    Args:
        raw: what stands in the file.
    """
    asked = raw.get("model")
    asked = asked if isinstance(asked, dict) else {}
    size = CATALOG[asked["size"]] if asked.get("size") in SIZES else None
    model = size.model if size else MODELS.get(asked.get("class", ""))
    data = CausalData if model is GPT else MaskedData
    return create_model(
        "Recipe",
        __base__=Section,
        directory=(str, ...),
        seed=(Annotated[int, Field(ge=0, lt=2**31)], 0),
        strategy=(Strategy, "auto"),
        model=(_model_section(model, size.arguments if size else {}), ...),
        tokenizer=(Tokenizer, Tokenizer()),
        data=(data, ...),
        optimizer=(Optimizer, ...),
        training=(Training, ...),
        checkpoints=(Checkpoints, Checkpoints()),
        monitoring=(Monitoring, Monitoring()),
    )


def _model_section(model: Any, sizes: Mapping[str, Any]) -> type[Section]:
    fields: dict[str, Any] = {
        "class_": (Literal[tuple(MODELS)] | None, Field(None, alias="class")),
        "size": (Literal[tuple(SIZES)] | None, None),
    }
    if model is not None:
        hints = typing.get_type_hints(model.__init__)
        for name, parameter in inspect.signature(model.__init__).parameters.items():
            known = name != "self" and parameter.kind is not parameter.VAR_KEYWORD
            if known and name not in ("tokenizer", "vocab_size"):
                fields[name] = (hints[name], sizes.get(name, parameter.default))
        # None: that of the tokenizer.
        fields["vocab_size"] = (Count | None, sizes.get("vocab_size"))
    return create_model("Model", __base__=Section, **fields)


def model_of(recipe: Any) -> Any:
    """Returns the class of a recipe's model."""
    section = recipe.model
    return CATALOG[section.size].model if section.size else MODELS[section.class_]


def model_arguments(recipe: Any) -> dict[str, Any]:
    """Returns the arguments of the model's constructor, but for tokenizer and dtype."""
    return {
        name: value
        for name, value in recipe.model.model_dump().items()
        if name not in ("class_", "size") and not (name == "vocab_size" and value is None)
    }
