"""A SavedModel's graph as data. Nothing is loaded as a model, and nothing runs."""

import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf import message, text_format
from tensorflow.core.protobuf import saved_model_pb2

Node = Any
MetaGraph = Any

_INITIAL = "__saved_model_init_op"


def read_meta_graph(path: str | os.PathLike) -> MetaGraph:
    """Reads the graph that a server would serve: the one with the tag `serve`, or else the first.

    Args:
        path: the directory of one version.

    Raises:
        FileNotFoundError: there is no SavedModel.
        ValueError: the file is damaged.
    """
    path = pathlib.Path(path)
    file, as_text = path / "saved_model.pb", path / "saved_model.pbtxt"
    saved = saved_model_pb2.SavedModel()
    try:
        if file.is_file():
            saved.ParseFromString(file.read_bytes())
        elif as_text.is_file():
            text_format.Parse(as_text.read_text("utf-8"), saved)
        else:
            raise FileNotFoundError(_missing(path))
    except (message.DecodeError, text_format.ParseError) as error:
        raise ValueError(f"A SavedModel must be whole. Received: {path}: {error}") from error
    if not saved.meta_graphs:
        raise ValueError(f"A SavedModel must have a graph. Received: {path}, which has none")
    serving = [graph for graph in saved.meta_graphs if "serve" in graph.meta_info_def.tags]
    return (serving or saved.meta_graphs)[0]


def _missing(path: pathlib.Path) -> str:
    rule = "Give the directory of one version, with a saved_model.pb in it."
    versions = sorted(int(v.parent.name) for v in path.glob("[0-9]*/saved_model.pb"))
    if versions:
        return f"{rule} Received: {path}, which holds versions {', '.join(map(str, versions))}"
    return f"{rule} Received: {path}, which {'has none' if path.is_dir() else 'is no directory'}"


class Graph:
    """Who calls whom in a MetaGraphDef.

    Attributes:
        signatures: SignatureDefs by name, without the one that initializes.
        functions: FunctionDefs by name.
    """

    def __init__(self, meta: MetaGraph) -> None:
        self.signatures = {
            name: signature
            for name, signature in sorted(meta.signature_def.items())
            if name != _INITIAL
        }
        self.functions = {f.signature.name: f for f in meta.graph_def.library.function}
        self._nodes = {node.name: node for node in meta.graph_def.node}
        self._defaults = {
            op.name: {attribute.name: attribute.default_value for attribute in op.attr}
            for op in meta.meta_info_def.stripped_op_list.op
        }

    def all_nodes(self) -> Iterator[tuple[str, Node]]:
        """Every node, with the name of its function, "" for the graph itself."""
        yield from (("", node) for node in self._nodes.values())
        for name, function in self.functions.items():
            yield from ((name, node) for node in function.node_def)

    def nodes_behind(self, signature: Any) -> Iterator[tuple[str, Node]]:
        """The nodes that a request to a signature can run."""
        waiting = [_node_name(output.name) for output in signature.outputs.values()]
        seen: set[str] = set()
        called: list[str] = []
        while waiting:
            name = waiting.pop()
            if name in seen or name not in self._nodes:
                continue
            seen.add(name)
            node = self._nodes[name]
            yield "", node
            called += self.functions_of(node)
            waiting += [_node_name(source) for source in node.input]
        yield from self._nodes_of_functions(called)

    def _nodes_of_functions(self, names: Iterable[str]) -> Iterator[tuple[str, Node]]:
        waiting, seen = list(names), set()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            for node in self.functions[name].node_def:
                yield name, node
                waiting += self.functions_of(node)

    def functions_of(self, node: Node) -> list[str]:
        """The functions that a node calls or hands on."""
        names = [node.op]
        for attribute in node.attr.values():
            if attribute.HasField("func"):
                names.append(attribute.func.name)
            names += [function.name for function in attribute.list.func]
        return [name for name in names if name in self.functions]

    def set_attributes(self, node: Node) -> list[str]:
        """The attributes of a node that say something else than their defaults."""
        defaults = self._defaults.get(node.op, {})
        return [
            name
            for name, value in node.attr.items()
            if not name.startswith("_") and value != defaults.get(name)
        ]


def _node_name(tensor: str) -> str:
    """`^a`, `a:0` and `a` are all the node `a`."""
    return tensor.removeprefix("^").split(":")[0]
