"""LoRA adapters in PEFT's format: adapter_config.json and adapter_model.safetensors, both ways.

PEFT has an adapter for each linear module of a Transformers model; here query, key and value are
columns of one kernel, so an adapter there is one of some columns here. Its GPT-2 has one kernel,
too: adapters of its parts are written as one of all columns, with zeros where there is none.

D width of the input, F columns, R rank.
"""

import json
import math
import pathlib
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_lm.checkpoints.base_weights import check_base
from keras_lm.checkpoints.config import CONFIG, Config
from keras_lm.checkpoints.families import family_of_model
from keras_lm.checkpoints.family import Family
from keras_lm.checkpoints.matching import Match, Source, shape_in_file, sources_of
from keras_lm.checkpoints.opening import REFUSES_PICKLE
from keras_lm.checkpoints.replacing import Writer, finish_interrupted, holding
from keras_lm.checkpoints.safetensors_files import SafetensorsFile
from keras_lm.checkpoints.safetensors_writing import TensorToWrite, write_safetensors
from keras_lm.checkpoints.tensors import TensorFile
from keras_lm.checkpoints.transfer import assign, is_prefixed, tensors_of
from keras_lm.layers import Dense
from keras_lm.training.keras_overrides import layers_of
from keras_lm.training.lora import Place

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_PICKLE = "adapter_model.bin"
_PREFIX = "base_model.model."
_PARTS = ("query", "key", "value")

# PEFT's names of what a model is for, by our heads.
TASK_TYPES = {
    "text_classification": "SEQ_CLS",
    "token_classification": "TOKEN_CLS",
    "question_answering": "QUESTION_ANS",
    "causal_lm": "CAUSAL_LM",
    "seq2seq": "SEQ_2_SEQ_LM",
}
# What changes the numbers, and how it must be: the first value is PEFT's default.
_FIXED: dict[str, tuple[Any, ...]] = {
    "use_dora": (False, None),
    "bias": ("none",),
    "lora_bias": (False, None),
    "layer_replication": (None,),
    "trainable_token_indices": (None,),
    "target_parameters": (None, []),
    "use_bdlora": (None, False),
    "alora_invocation_tokens": (None,),
    "arrow_config": (None,),
    "use_qalora": (False, None),
    "kasa_config": (None,),
    "velora_config": (None,),
    "monteclora_config": (None,),
    # Others change the kernels beneath when they begin.
    "init_lora_weights": (True, False, "gaussian", "eva", "orthogonal"),
}
# What says where adapters are, which their tensors say too, or how they are trained.
_HARMLESS = """
    target_modules exclude_modules modules_to_save layers_to_transform layers_pattern rank_pattern
    fan_in_fan_out inference_mode peft_type peft_version task_type revision auto_mapping
    megatron_config megatron_core loftq_config eva_config corda_config qalora_group_size
    ensure_weight_tying runtime_config lora_ga_config base_model_name_or_path
""".split()  # noqa: SIM905 - as a text it is easier to read


class Module(NamedTuple):
    """A linear module of the model there.

    Attributes:
        name: its path, without that of its weight.
        place: the columns here that are its kernel.
    """

    name: str
    place: Place


def is_adapter_directory(directory: pathlib.Path) -> bool:
    """Says whether a directory holds adapters."""
    return (directory / ADAPTER_CONFIG).is_file()


def modules_of(model: Any, family: Family) -> list[Module]:
    """Finds the linear modules of a built model."""
    found = []
    for dense in layers_of(model, Dense):
        names = family.names_of(family.path_of(dense.kernel))
        width = dense.units // len(names)
        parts = _PARTS[len(_PARTS) - len(names) :] if len(names) > 1 else [_whole(dense)]
        for i, (name, part) in enumerate(zip(names, parts, strict=True)):
            place = Place(dense, part, i * width, (i + 1) * width)
            found.append(Module(name.removesuffix(".weight"), place))
    return found


def _whole(dense: Dense) -> str:
    return dense.name if dense.name == "query_key_value" else ""


# Writing.


def adapter_files(model: Any, dtype: str | None = None) -> Iterator[tuple[str, Writer]]:
    """Gives the two files of a model with adapters, by name.

    Args:
        model: behind `add_lora`.
        dtype: of the adapters in the file. None: float32.
    """
    family = family_of_model(model)
    with_prefix = is_prefixed(model)

    def short(name: str) -> str:
        return name if with_prefix else name.removeprefix(family.prefix)

    modules = [module._replace(name=short(module.name)) for module in modules_of(model, family)]
    tensors, ranks, alphas = [], {}, {}
    for module in modules:
        found = _factors(module.place)
        if found is None:
            continue
        a_RD, b_FR, scale = found
        ranks[module.name], alphas[module.name] = len(a_RD), _number(scale * len(a_RD))
        for letter, value in (("A", a_RD), ("B", b_FR)):
            tensors.append(_tensor(f"{_PREFIX}{module.name}.lora_{letter}.weight", value, dtype))
    adapters = {id(weight) for weight in model.lora_weights}
    trained = [weight for weight in model.trainable_weights if id(weight) not in adapters]
    others = tensors_of(trained, family, with_prefix, dtype)
    tensors += [tensor._replace(name=_PREFIX + tensor.name) for tensor in others]
    kept = (tensor.name.removeprefix(family.prefix).split(".")[0] for tensor in others)
    kinds = [head for head in model.heads if head in TASK_TYPES]
    config = {
        "peft_type": "LORA",
        "task_type": TASK_TYPES[kinds[0]] if kinds else "FEATURE_EXTRACTION",
        "base_model_name_or_path": getattr(getattr(model, "companions", None), "source", None),
        "target_modules": _targets(list(ranks), [module.name for module in modules]),
        "modules_to_save": list(dict.fromkeys(kept)) or None,
        "fan_in_fan_out": not family.transposed,
        "bias": "none",
        "lora_dropout": 0.0,
        "inference_mode": True,
        **_commonest("r", "rank_pattern", ranks),
        **_commonest("lora_alpha", "alpha_pattern", alphas),
    }
    text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    yield ADAPTER_CONFIG, holding(text)
    yield ADAPTER_WEIGHTS, lambda path: write_safetensors(path, tensors)


def _factors(place: Place) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Gives A `(R, D)`, B `(F, R)` and the scale of what is added to columns, if anything is."""
    dense, _, first, last = place
    updates = [u for u in dense.updates if u.first < last and u.last > first]
    if not updates:
        return None
    scale = updates[0].scale
    b_of_each = []
    for update in updates:
        begin, end = max(update.first, first), min(update.last, last)
        b_RF = update.b.numpy()[:, begin - update.first : end - update.first]
        b_RF = np.pad(b_RF, [[0, 0], [begin - first, last - end]])
        b_of_each.append(b_RF if update.scale == scale else b_RF * (update.scale / scale))
    a_DR = np.concatenate([update.a.numpy() for update in updates], 1)
    return a_DR.T, np.concatenate(b_of_each).T, scale


def _number(value: float) -> float | int:
    near = round(value)
    return near if math.isclose(value, near, rel_tol=1e-9) else value


def _tensor(name: str, value: np.ndarray, dtype: str | None) -> TensorToWrite:
    found = value.astype(tf.as_dtype(dtype or "float32").as_numpy_dtype)
    return TensorToWrite(name, found.shape, found.dtype, lambda: [np.ascontiguousarray(found)])


def _targets(adapted: list[str], all_names: list[str]) -> list[str]:
    """Gives the last parts of the modules' names where these mean no other module, or all names."""

    def last(name: str) -> str:
        return name.rpartition(".")[2]

    short = {last(name) for name in adapted}
    meant = [name for name in all_names if last(name) in short]
    return sorted(short) if set(meant) == set(adapted) else adapted


def _commonest(field: str, pattern: str, values: dict[str, Any]) -> dict[str, Any]:
    """Gives the fields of a value that most modules have, and of those that have another one."""
    common = Counter(values.values()).most_common(1)[0][0]
    return {field: common, pattern: {n: value for n, value in values.items() if value != common}}


# Reading.


def load_lora(model: Any, directory: Any) -> None:
    """Gives a model the adapters of a directory, and the head that was trained beside them.

    It freezes the model as `add_lora` does; compile it again to train on.

    Args:
        model: a model of the sizes that the adapters were trained on, without adapters.
        directory: with adapter_config.json and adapter_model.safetensors, as PEFT and
            `keras_lm.save` write them.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: another method than LoRA, an option of PEFT that changes the numbers and is not
            computed here, an adapter of a module that the model does not have, a wrong shape; a
            pickle; the model has adapters, or other weights than the one that they say they were
            trained on. It is left as it was.
    """
    directory = pathlib.Path(directory)
    finish_interrupted(directory)
    family = family_of_model(model)
    config = adapter_config(directory)
    if not (directory / ADAPTER_WEIGHTS).is_file():
        if (directory / _PICKLE).is_file():
            raise ValueError(f"{REFUSES_PICKLE}\nReceived: {directory / _PICKLE}")
        raise FileNotFoundError(
            f"Adapters lie in {ADAPTER_WEIGHTS}. Received: {directory}, which has none"
        )
    scale_of = _scales(config)
    model.build_all()
    if (directory / CONFIG).is_file():
        check_base(model, Config.of(directory / CONFIG))
    with SafetensorsFile(directory / ADAPTER_WEIGHTS) as file:
        modules = {_bare(m.name, family): m for m in modules_of(model, family)}
        heads = {
            _bare(source.name, family): (weight, source)
            for weight in model.weights_behind()
            for source in _sources(weight, family)
        }
        adapters, head, unknown = _sorted_out(file, family, modules, heads)
        if unknown or not adapters:
            raise ValueError(
                f"Adapters must be of a {type(model).__name__} with heads={model.heads}. Received: "
                f"{directory} with {', '.join(unknown[:4]) or 'no adapter'}"
            )
        wanted = []
        for name, tensors in adapters.items():
            place = modules[name].place
            rank = _rank(file, tensors, place)
            wanted.append((place, rank, scale_of(modules[name].name, rank)))
        for weight, source in head:
            wanted_shape, shape = shape_in_file(weight, source), file.infos[source.name].shape
            if wanted_shape != shape:
                raise ValueError(
                    f"{source.name} must have the shape {wanted_shape}, that of the model. "
                    f"Received: {directory} with {shape}"
                )
        model.add_low_ranks(wanted, train_head=bool(head))
        assign(Match([(weight, [source]) for weight, source in head], []), file)
        _fill(wanted, adapters, file)


def adapter_config(directory: pathlib.Path) -> Config:
    """Reads adapter_config.json; see `load_lora`."""
    if not is_adapter_directory(directory):
        raise FileNotFoundError(
            f"Adapters have an {ADAPTER_CONFIG}. Received: {directory}, which has none"
        )
    config = Config.of(directory / ADAPTER_CONFIG)
    config.must_be("peft_type", "LORA")
    for name, allowed in _FIXED.items():
        if config.get(name, allowed[0]) not in allowed:
            config.refuse(name, f"{name} must be {' or '.join(map(repr, allowed))}.")
    config.harmless(*_HARMLESS)
    if config.number("lora_dropout", 0.0):
        warnings.warn(
            f"{config.path} has lora_dropout={config.number('lora_dropout', 0.0)}; in training "
            "there is no dropout before adapters here.",
            stacklevel=2,
        )
    return config


def _scales(config: Config) -> Callable[[str, int], float]:
    common = config.number("lora_alpha", 8)
    patterns = config.get("alpha_pattern", None) or {}
    by_root = config.get("use_rslora", False)
    config.size("r", 8)
    config.warn_of_the_rest()

    def scale_of(module: str, rank: int) -> float:
        found = [a for key, a in patterns.items() if re.match(rf"(.*\.)?({key})$", module)]
        alpha = found[0] if found else common
        return alpha / (math.sqrt(rank) if by_root else rank)

    return scale_of


def _bare(name: str, family: Family) -> str:
    return name.removeprefix(_PREFIX).removeprefix(family.prefix)


def _sources(weight: Any, family: Family) -> list[Source]:
    path = family.path_of(weight)
    return sources_of(weight, family.names_of(path), family, path)


def _sorted_out(
    file: TensorFile,
    family: Family,
    modules: dict[str, Module],
    heads: dict[str, tuple[Any, Source]],
) -> tuple[dict[str, dict[str, str]], list[tuple[Any, Source]], list[str]]:
    """Gives the names of A and B by module, the weights of a head, and names of what is unknown."""
    adapters: dict[str, dict[str, str]] = {}
    head, unknown = [], []
    for name in file.infos:
        bare = _bare(name, family)
        letter = re.fullmatch(r"(.*)\.lora_([AB])\.weight", bare)
        if letter and letter[1] in modules:
            adapters.setdefault(letter[1], {})[letter[2]] = name
        elif bare in heads:
            weight, source = heads[bare]
            head.append((weight, source._replace(name=name)))
        else:
            unknown.append(name)
    unknown += [f"{name} without both A and B" for name, two in adapters.items() if len(two) < 2]
    return adapters, head, unknown


def _rank(file: TensorFile, tensors: dict[str, str], place: Place) -> int:
    a_shape, b_shape = (file.infos[tensors[letter]].shape for letter in "AB")
    size, width = place.dense.kernel.shape[0], place.last - place.first
    rank = a_shape[0] if a_shape else 0
    if rank < 1 or a_shape != (rank, size) or b_shape != (width, rank):
        raise ValueError(
            f"An adapter of this model has the shapes (rank, {size}) and ({width}, rank). "
            f"Received: {tensors['A']} of shape {a_shape}, {tensors['B']} of shape {b_shape}"
        )
    return rank


def _fill(
    wanted: list[tuple[Place, int, float]],
    adapters: dict[str, dict[str, str]],
    file: TensorFile,
) -> None:
    for (place, _, _), tensors in zip(wanted, adapters.values(), strict=True):
        (update,) = (u for u in place.dense.updates if u.first == place.first)
        pairs = [
            (weight, [Source(tensors[letter], 0, weight.shape[-1], True)])
            for letter, weight in (("A", update.a), ("B", update.b))
        ]
        assign(Match(pairs, []), file)
