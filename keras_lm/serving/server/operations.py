"""What a SavedModel may contain before a stranger's request may run it.

Operations of TensorFlow itself that compute. Python functions, operations of other libraries and
those that read or write files by name are refused unless they are allowed.
"""

from typing import Any

from tensorflow.python.framework import op_def_registry

from keras_lm.serving.audit.findings import FILES, PYTHON
from keras_lm.serving.audit.graph_file import Graph


def refused_operations(meta_graph: Any, allow_unsafe: bool) -> tuple[list[str], list[str]]:
    """Finds what a model must not contain.

    Args:
        meta_graph: a MetaGraphDef.
        allow_unsafe: whether operations that run Python or touch files may be there.

    Returns:
        The unsafe operations, and those that TensorFlow and the libraries loaded do not know;
        each by name.
    """
    graph = Graph(meta_graph)
    found = {node.op for _, node in graph.all_nodes()} - set(graph.functions)
    unknown = sorted(name for name in found if op_def_registry.get(name) is None)
    if allow_unsafe:
        return [], unknown
    # What restores the weights touches files too, but no request can run it.
    asked = {
        node.op
        for signature in graph.signatures.values()
        for _, node in graph.nodes_behind(signature)
    }
    return sorted(found & PYTHON | asked & FILES), unknown
