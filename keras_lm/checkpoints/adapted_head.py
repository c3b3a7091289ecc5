"""What a model is for whose adapters alone lie in a directory.

`keras_lm.save` writes config.json beside them, with the task and its labels. PEFT does not: there
adapter_config.json has the kind of task alone, and a classifier's tensor the number of classes.
"""

import pathlib
from typing import Any

from keras_lm.checkpoints.config import CONFIG, Config
from keras_lm.checkpoints.embedding_modules import embedder_options
from keras_lm.checkpoints.families import family_of, variant
from keras_lm.checkpoints.lora import ADAPTER_WEIGHTS, TASK_TYPES, adapter_config
from keras_lm.checkpoints.safetensors_files import SafetensorsFile
from keras_lm.checkpoints.task_heads import WITH_LABELS, TaskHead, new_head, task_of
from keras_lm.tasks import TASKS
from keras_lm.tasks.labels import label_names

# The last module of each classifier, in Transformers.
_LAST = (
    ".classifier.weight",
    ".classifier.out_proj.weight",
    ".classification_head.out_proj.weight",
    ".score.weight",
)


def adapted_head(directory: pathlib.Path, task: Any, labels: Any) -> Any:
    """Finds the head that adapters belong to.

    Args:
        directory: with adapters.
        task: as of `load`.
        labels: as of `load`.

    Returns:
        A `TaskHead`, without labels where there are none; or what `load` takes as `task`.
    """
    own = (directory / CONFIG).is_file()
    if own and task is None:
        config = Config.of(directory / CONFIG)
        family = family_of(config)
        name = task_of(family, config)
        if name == "text_embedding":
            return TaskHead(name, embedder_options(directory), trained=False)
        if name is not None:
            return new_head(family, config, name, labels)
        heads = dict(config.get("arguments", None) or variant(family, config, ())).get("heads")
        return tuple(heads or ()) or "backbone"
    if task is None:
        by_type = {theirs: ours for ours, theirs in TASK_TYPES.items()}
        task = by_type.get(adapter_config(directory).get("task_type", None))
    if task not in TASKS:
        return task
    options = {}
    if task in WITH_LABELS:
        known = _number_of_classes(directory) if labels is None else labels
        if known is not None:
            options["labels"] = label_names(known)
    return TaskHead(task, options, trained=False)


def brings_head(directory: pathlib.Path) -> bool:
    """Says whether the weights of a head lie among the adapters."""
    with SafetensorsFile(directory / ADAPTER_WEIGHTS) as file:
        return any(".lora_" not in name for name in file.infos)


def _number_of_classes(directory: pathlib.Path) -> int | None:
    """Gives the number of classes of the head that lies among the adapters, if one does."""
    with SafetensorsFile(directory / ADAPTER_WEIGHTS) as file:
        for name, info in file.infos.items():
            if name.endswith(_LAST):
                return info.shape[0]
    return None
