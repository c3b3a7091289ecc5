"""The families that are read and written, and how one is found."""

from collections.abc import Iterable, Mapping
from typing import Any

from keras_lm.checkpoints import bart, bert, distilbert, electra, gpt2, roberta
from keras_lm.checkpoints.config import Config
from keras_lm.checkpoints.family import BACKBONE, OWN, Family
from keras_lm.checkpoints.matching import has_prefix
from keras_lm.checkpoints.task_heads import ENDINGS
from keras_lm.tasks import TASKS

_MODULES = (bert, roberta, distilbert, electra, gpt2, bart)
FAMILIES = {module.FAMILY.model_type: module.FAMILY for module in _MODULES}


def family_of(config: Config) -> Family:
    """Finds the family that config.json names.

    Raises:
        ValueError: it names none, or one that is not known here.
    """
    config.must_be("quantization_config", None)
    config.must_be("auto_map", None)  # Code of its own, which would have to be run.
    model_type = config.get("model_type", None)
    for family in FAMILIES.values():
        if model_type in (family.model_type, family.own_type):
            return family
    config.refuse("model_type", f"model_type must be one of {', '.join(FAMILIES)}.")


def family_of_model(model: Any) -> Family:
    """Finds the family of a model, or of the model beneath a task.

    Raises:
        ValueError: there is none.
    """
    kind = model.backbone.model if type(model) in TASKS.values() else type(model)
    for family in FAMILIES.values():
        if kind is family.model:
            return family
    names = ", ".join(family.model.__name__ for family in FAMILIES.values())
    raise ValueError(
        f"A model must be one of {names}, or a task on one of them; of a pretrainer save a part. "
        f"Received: a {type(model).__name__}"
    )


def variant(
    family: Family, config: Config, names: Iterable[str], task: Any = None
) -> Mapping[str, Any]:
    """Finds the constructor's arguments that say which heads a model has.

    Args:
        family: of the model.
        config: its `architectures` are followed.
        names: of the file's tensors, for a config without `architectures`.
        task: what is wanted instead: a head, several, or "backbone".

    Raises:
        ValueError: an architecture or a head that is not known here.
    """
    names = set(names)
    arguments: dict[str, Any]
    if task is None and str(config.get("model_type", "")).startswith(OWN):
        return {}  # It says all of it by our own names.
    if task is not None:
        arguments = {"heads": family.heads_of(task)}
    elif config.get("architectures", None):
        arguments = dict(_of_architecture(family, config))
    else:
        prefixed = has_prefix(names, family.prefix)
        heads = tuple(head for head, sign in family.signs.items() if sign in names and prefixed)
        arguments = {"heads": heads}
    optional = family.optional_with_heads if arguments["heads"] else family.optional
    for argument, name in optional.items():
        arguments[argument] = bool(names & {name, name.removeprefix(family.prefix)})
    return arguments


def _of_architecture(family: Family, config: Config) -> Mapping[str, Any]:
    named = config.get("architectures", None)
    first = named[0] if isinstance(named, list) and isinstance(named[0], str) else named
    # Early TensorFlow models were called TFBertModel there, too.
    found = family.architectures.get(str(first).removeprefix("TF"))
    if found is None:
        config.refuse(
            "architectures",
            f"architectures must name one of {', '.join(family.architectures)} or "
            f"{family.title}[{', '.join(ENDINGS)}]; "
            f'task="{BACKBONE}" loads the model beneath the head.',
        )
    return found


def architecture_of(family: Family, model: Any) -> str | None:
    """Gives the architecture of Transformers that has a model's heads, if there is one."""
    for name, arguments in family.architectures.items():
        if set(arguments["heads"]) == set(model.heads):
            return name
    return None
