"""What the parts of a recipe must have in common, and what must be there before it starts."""

import glob
import os
from typing import Any

from keras_lm.cli.recipes.sections import TOKENIZERS, CausalData, model_of


def contradictions(recipe: Any) -> list[str]:
    """Says what of a recipe does not fit together, a line each.

    Args:
        recipe: whose keys and types are right.
    """
    if (recipe.model.size is None) == (recipe.model.class_ is None):
        return ["model must have either a size or a class"]
    model = model_of(recipe)
    return [
        *_of_model(recipe, model),
        *_of_tokenizer(recipe, model),
        *_of_length(recipe),
    ]


def _of_model(recipe: Any, model: Any) -> list[str]:
    found = []
    length, most = recipe.data.sequence_length, recipe.model.max_length
    if length > most:
        found.append(
            f"data.sequence_length must be at most model.max_length. Received: {length}, {most}"
        )
    if not isinstance(recipe.data, CausalData):
        heads = getattr(recipe.model, "heads", ("masked_lm",))
        if "masked_lm" not in heads:
            found.append(f'model.heads must have "masked_lm". Received: {list(heads)}')
        if ("next_sentence" in heads) != recipe.data.next_sentence:
            found.append(
                'data.next_sentence must be true where model.heads has "next_sentence", and only '
                f"there. Received: {str(recipe.data.next_sentence).lower()}, {list(heads)}"
            )
    elif recipe.model.heads != ("causal_lm",):
        found.append(f'model.heads must be ["causal_lm"]. Received: {list(recipe.model.heads)}')
    return found


def _of_tokenizer(recipe: Any, model: Any) -> list[str]:
    tokenizer = recipe.tokenizer
    if (tokenizer.path is None) == (tokenizer.vocab_size is None):
        return [
            "tokenizer must have either a path, to be loaded from, or a vocab_size, to be trained "
            f"with. Received: path {tokenizer.path}, vocab_size {tokenizer.vocab_size}"
        ]
    found = []
    own = [n for n in ("lowercase", "min_frequency") if getattr(tokenizer, n) is not None]
    if tokenizer.path is not None and own:
        found.append(f"tokenizer.{own[0]} is for a tokenizer that is trained. Received: a path")
    elif "lowercase" in own and TOKENIZERS[model.__name__] != "wordpiece":
        found.append(f"tokenizer.lowercase is not for a {model.__name__}, which reads bytes")
    most = recipe.model.vocab_size
    if most is not None and (tokenizer.vocab_size or 0) > most:
        found.append(
            "tokenizer.vocab_size must be at most model.vocab_size. "
            f"Received: {tokenizer.vocab_size}, {most}"
        )
    return found


def _of_length(recipe: Any) -> list[str]:
    training, found = recipe.training, []
    if (training.steps is None) == (training.epochs is None):
        return [
            "training must have either steps or epochs. "
            f"Received: steps {training.steps}, epochs {training.epochs}"
        ]
    each = training.steps_per_epoch
    if training.steps is not None and each is not None and training.steps % each:
        found.append(
            "training.steps must be a multiple of training.steps_per_epoch. "
            f"Received: {training.steps}, {each}"
        )
    if training.label_smoothing and training.sampled_softmax:
        found.append("training.label_smoothing is not for a sampled softmax. Received: both")
    if recipe.optimizer.end_share and recipe.optimizer.schedule not in ("linear", "cosine"):
        found.append(
            "optimizer.end_share is for the schedules linear and cosine. "
            f"Received: {recipe.optimizer.schedule}"
        )
    if recipe.optimizer.layer_decay is not None and recipe.optimizer.name != "adamw":
        found.append(
            "optimizer.layer_decay is for the optimizer adamw; lamb scales each layer by itself. "
            f"Received: {recipe.optimizer.name}"
        )
    return found


def missing_files(recipe: Any) -> list[str]:
    """Says which files of a recipe are not there, a line each."""
    wanted = {
        "data.files": recipe.data.files,
        "data.validation_files": recipe.data.validation_files or [],
        "tokenizer.path": [recipe.tokenizer.path] if recipe.tokenizer.path else [],
        "training.initial_weights": [recipe.training.initial_weights]
        if recipe.training.initial_weights
        else [],
    }
    return [
        f"{key} must be there. Received: {path!r}"
        for key, paths in wanted.items()
        for path in paths
        if not os.path.exists(path) and not glob.glob(path, recursive=True)
    ]
