"""Finds the tensors of a file that make each weight of a model, before any of them is read.

Every weight must find its tensors, in its shape; every tensor must be used, or known to be of no
use, or it is named in one warning.
"""

import math
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from keras_lm.checkpoints.family import Family
from keras_lm.checkpoints.tensors import TensorFile, TensorInfo

FLOATS = ("float16", "bfloat16", "float32", "float64")
_SHOWN = 8


class Source(NamedTuple):
    """Where some columns of a weight come from.

    Attributes:
        name: of the tensor, in the file.
        first: of the weight's columns.
        last: behind the last column.
        transposed: whether the tensor lies the other way round.
        is_row: whether the tensor, of a vector, lies as `(1, n)`.
    """

    name: str
    first: int
    last: int
    transposed: bool
    is_row: bool = False


class Match(NamedTuple):
    """What to do with a file.

    Attributes:
        sources: for each weight its sources, side by side.
        tied: pairs of names whose tensors must be equal.
    """

    sources: list[tuple[Any, list[Source]]]
    tied: list[tuple[str, str]]


def names_in(file: TensorFile) -> dict[str, str]:
    """Gives each tensor's name by the name that it has today: norms once had a gamma and a beta."""
    found = {}
    for name in file.infos:
        today = re.sub(r"(LayerNorm|layer_norm)\.gamma$", r"\1.weight", name)
        found[re.sub(r"(LayerNorm|layer_norm)\.beta$", r"\1.bias", today)] = name
    return found


def has_prefix(names: Iterable[str], prefix: str) -> bool:
    """Says whether the backbone's names begin with its prefix, as they do behind a head."""
    return any(name.startswith(prefix) for name in names)


def match(model: Any, family: Family, file: TensorFile, known: Iterable[str] = ()) -> Match:
    """Finds the tensors of each weight.

    Args:
        model: built.
        family: its family.
        file: of which nothing is read but the header.
        known: names, as they are today, of tensors that are dealt with elsewhere.

    Returns:
        What is to be read from where.

    Raises:
        ValueError: a weight's tensor is missing or has another shape or kind.
    """
    present = names_in(file)
    prefix = "" if has_prefix(present, family.prefix) else family.prefix
    twins = {_without(twin, prefix): _without(kept, prefix) for twin, kept in family.tied.items()}
    wrong: list[str] = []
    used: set[str] = set()
    found = []
    for variable in model.weights:
        path = family.path_of(variable)
        names = [_without(name, prefix) for name in family.names_of(path)]
        names = [_present(name, present, twins) for name in names]
        used.update(names)
        sources = sources_of(variable, names, family, path)
        for source in sources:
            info = file.infos[present[source.name]] if source.name in present else None
            complaint = _complaint(variable, source, info)
            if complaint:
                wrong.append(complaint)
        found.append((variable, [s._replace(name=present.get(s.name, s.name)) for s in sources]))
    where = next(iter(file.infos.values())).file if file.infos else "an empty file"
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise ValueError(
            f"A file must hold each weight of the model in its shape. Received: {where} "
            f"{'; '.join(wrong[:_SHOWN])}{more}. It holds {_some(list(present))}"
        )
    tied = [
        (present[twin], present[kept])
        for twin, kept in twins.items()
        if twin in present and kept in present
    ]
    settled = used | set(known) | {twin for twin, kept in twins.items() if kept in present}
    unused = [name for name in present if name not in settled and not family.is_leftover(name)]
    if unused:
        warnings.warn(
            f"{where} holds tensors that a {type(model).__name__} with heads={model.heads} does "
            f"not have; they are left out: {_some(unused, len(unused))}",
            stacklevel=2,
        )
    return Match(found, tied)


def _without(name: str, prefix: str) -> str:
    return name.removeprefix(prefix)


def _present(name: str, present: dict[str, str], twins: dict[str, str]) -> str:
    """Gives the name, or that of a tensor that means the same, if only that is there."""
    if name in present:
        return name
    same = [twin for twin, kept in twins.items() if kept == name and twin in present]
    return same[0] if same else name


def sources_of(variable: Any, names: Sequence[str], family: Family, path: str) -> list[Source]:
    """Gives the sources of a weight, of the names of its tensors."""
    width, transposed = variable.shape[-1] // len(names), family.lies_transposed(path)
    return [
        Source(name, i * width, (i + 1) * width, transposed, name in family.rows)
        for i, name in enumerate(names)
    ]


def shape_in_file(variable: Any, source: Source) -> tuple[int, ...]:
    """Gives the shape of a tensor."""
    shape = (*variable.shape[:-1], source.last - source.first)
    if source.is_row:
        return (1, *shape)
    return shape[::-1] if source.transposed else shape


def _complaint(variable: Any, source: Source, info: TensorInfo | None) -> str:
    """Says what is wrong with a source, or nothing."""
    wanted = shape_in_file(variable, source)
    if info is None:
        return f"lacks {source.name} of shape {wanted}"
    if info.shape != wanted:
        return f"has {source.name} of shape {info.shape}, not {wanted}"
    if info.dtype.name not in FLOATS:
        return f"has {source.name} of dtype {info.dtype}, not one of {', '.join(FLOATS)}"
    return ""


def _some(names: list[str], shown: int = _SHOWN) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return (", ".join(names[:shown]) or "nothing") + more


def num_values(file: TensorFile) -> int:
    """Counts the numbers of a file."""
    return sum(math.prod(info.shape) for info in file.infos.values())
