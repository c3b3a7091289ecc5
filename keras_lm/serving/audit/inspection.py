"""Reads a SavedModel and says what is in it."""

import os
import pathlib
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_lm.serving.audit.findings import Finding, findings_of
from keras_lm.serving.audit.graph_file import Graph, read_meta_graph
from keras_lm.serving.audit.releases import releases

_CONSTANT_BYTES = 1 << 20  # A constant of this size is a weight that was frozen into the graph.


class Tensor(NamedTuple):
    """An input or an output; `shape` is None where the rank is unknown, -1 an unknown size."""

    name: str
    dtype: str
    shape: tuple[int, ...] | None

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.name} {self.dtype} (any shape)"
        sizes = ", ".join(
            "batch" if i == 0 and n < 0 else "?" if n < 0 else str(n)
            for i, n in enumerate(self.shape)
        )
        return f"{self.name} {self.dtype} [{sizes}]"


class Signature(NamedTuple):
    """What can be asked; `joins_rows`: whether a server may put rows of several requests together.

    That is so if the first dimension of every input and every output is of any size. That rows do
    not change each other's answers cannot be seen in a graph.
    """

    method: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    joins_rows: bool


class Operation(NamedTuple):
    """An operation: how many nodes are of it, and the first release that knows it; None: none."""

    nodes: int
    since: str | None


class Inspection(NamedTuple):
    """What `inspect` found.

    Attributes:
        path: the directory.
        written_by: the TensorFlow release that wrote it.
        oldest: the oldest release that knows all operations as they are used, `2.12` standing for
            itself and all before; None if there is none. In tests the exports of this package are
            asked in 2.12.1, 2.19.1 and 2.20.0.
        signatures: by name.
        operations: by name, of every function.
        parameters: numbers in the variables.
        megabytes: of the `graph`, the `variables`, the `assets` and of constants of a megabyte and
            more, which are in the graph.
        unused_functions: how many functions no signature reaches.
        findings: problems, then what is good to know.
    """

    path: str
    written_by: str
    oldest: str | None
    signatures: dict[str, Signature]
    operations: dict[str, Operation]
    parameters: int
    megabytes: dict[str, float]
    unused_functions: int
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that should keep the model from being served."""
        return tuple(finding for finding in self.findings if finding.is_problem)


def inspect(path: str | os.PathLike, oldest: str | None = None) -> Inspection:
    """Looks into a SavedModel, of this package or of anybody. Nothing of it is run.

    Args:
        path: the directory of one version.
        oldest: the oldest TensorFlow that has to run it, such as "2.15"; what it does not know is
            then a problem.

    Raises:
        FileNotFoundError: there is no SavedModel.
        ValueError: it is damaged, or `oldest` is a release that is not known.
    """
    known = releases()
    limit = None if oldest is None else known.place(oldest)
    path = pathlib.Path(path)
    meta = read_meta_graph(path)
    graph = Graph(meta)
    behind = {name: list(graph.nodes_behind(s)) for name, s in graph.signatures.items()}
    reached = {function for nodes in behind.values() for function, _ in nodes}
    placed = [(name, *place) for name, nodes in behind.items() for place in nodes]
    # The graph itself holds a node for each signature and for restoring: those are seen above.
    placed += [("", *place) for place in graph.all_nodes() if place[0] not in reached | {""}]
    findings = findings_of(placed, graph.functions)

    places: dict[str, int | None] = {}
    counts: Counter[str] = Counter()
    for function, node in graph.all_nodes():
        if node.op in graph.functions:
            continue
        counts[node.op] += 1
        # A loader does not look at what it does not know of a node outside of functions: what is
        # called debug_name since 2.15 loads in 2.12.
        since = known.since(node.op, graph.set_attributes(node) if function else ())
        before = places.get(node.op, 0)
        places[node.op] = None if None in (since, before) else max(since, before)  # type: ignore[type-var]
    if limit is not None:
        findings += [
            Finding("release", f"{op} is known from TensorFlow {known.minor(place)} on", ())
            for op, place in sorted(places.items())
            if place is not None and place > limit
        ]
    signatures = {name: _signature(value) for name, value in graph.signatures.items()}
    alone = tuple(name for name, value in signatures.items() if not value.joins_rows)
    if alone:
        what = "a server cannot join the rows of several requests"
        findings.append(Finding("batch", what, alone, False))
    return Inspection(
        str(path),
        meta.meta_info_def.tensorflow_version,
        None
        if None in places.values()
        else known.minor(max((place for place in places.values() if place is not None), default=0)),
        signatures,
        {
            op: Operation(counts[op], None if place is None else known.minor(place))
            for op, place in sorted(places.items())
        },
        _parameters(path),
        _megabytes(path, graph),
        len(set(graph.functions) - reached),
        tuple(sorted(findings, key=lambda finding: not finding.is_problem)),
    )


def _signature(definition: Any) -> Signature:
    inputs, outputs = (
        tuple(_tensor(name, info) for name, info in sorted(tensors.items()))
        for tensors in (definition.inputs, definition.outputs)
    )
    joins = all(tensor.shape and tensor.shape[0] < 0 for tensor in (*inputs, *outputs))
    return Signature(definition.method_name, inputs, outputs, joins)


def _tensor(name: str, info: Any) -> Tensor:
    unknown = info.tensor_shape.unknown_rank
    shape = None if unknown else tuple(dim.size for dim in info.tensor_shape.dim)
    return Tensor(name, tf.as_dtype(info.dtype).name, shape)


def _parameters(path: pathlib.Path) -> int:
    if not (path / "variables" / "variables.index").is_file():
        return 0
    reader = tf.train.load_checkpoint(str(path / "variables" / "variables"))
    dtypes = reader.get_variable_to_dtype_map()
    return sum(
        int(np.prod(shape, dtype=np.int64))
        for name, shape in reader.get_variable_to_shape_map().items()
        if dtypes[name].is_floating and not name.startswith("save_counter")
    )


def _megabytes(path: pathlib.Path, graph: Graph) -> dict[str, float]:
    constants = sum(
        size
        for _, node in graph.all_nodes()
        if node.op == "Const" and (size := node.attr["value"].ByteSize()) >= _CONSTANT_BYTES
    )
    sizes = {
        "graph": sum(file.stat().st_size for file in path.glob("saved_model.pb*")),
        "variables": _bytes_below(path / "variables"),
        "assets": _bytes_below(path / "assets") + _bytes_below(path / "assets.extra"),
        "large constants": constants,
    }
    return {name: size / 2**20 for name, size in sizes.items()}


def _bytes_below(path: pathlib.Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
