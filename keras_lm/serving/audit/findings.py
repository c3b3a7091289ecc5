"""What in a graph keeps a server from running it, or an operator from sleeping."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from keras_lm.serving.audit.releases import releases

Node = Any

PYTHON = frozenset(("PyFunc", "PyFuncStateless", "EagerPyFunc"))
FILES = frozenset(
    (
        "MatchingFiles",
        "MergeV2Checkpoints",
        "ReadFile",
        "RestoreSlice",
        "RestoreV2",
        "Save",
        "SaveSlices",
        "SaveV2",
        "WholeFileReaderV2",
        "WriteFile",
        "WriteSummary",
    )
)
_WRITES = (
    "Assign",
    "Barrier",
    "LookupTableImport",
    "LookupTableInsert",
    "LookupTableRemove",
    "ResourceApply",
    "ResourceScatter",
    "ResourceSparseApply",
    "StackPush",
)
_QUEUES = ("QueueEnqueue", "QueueDequeue")


class Finding(NamedTuple):
    """One thing about a SavedModel.

    Attributes:
        kind: a short name, the same for all of its kind.
        what: a sentence.
        where: signatures or functions.
        is_problem: whether it should keep the model from being served; else it is good to know.
    """

    kind: str
    what: str
    where: tuple[str, ...]
    is_problem: bool = True


def findings_of(nodes: Iterable[tuple[str, str, Node]], functions: Iterable[str]) -> list[Finding]:
    """What there is to say of nodes.

    Args:
        nodes: the signature that can run a node ("" for none), its function ("" for the graph
            itself), and the node.
        functions: names of the functions of the graph, which are no operations.
    """
    own = frozenset(functions)
    found: dict[tuple[str, str, bool], set[str]] = defaultdict(set)

    def note(kind: str, what: str, where: str, is_problem: bool = True) -> None:
        found[kind, what, is_problem].add(where)

    for signature, function, node in nodes:
        where = signature or function or "the graph"
        op = node.op
        if op in PYTHON:
            note("python", f"{op} needs the Python process that made it", where)
        elif op not in own and releases().since(op) is None:
            library = " (tensorflow-text has it)" if op in releases().text else ""
            note("custom operation", f"{op} is in no TensorFlow release{library}", where)
        if node.attr["_XlaMustCompile"].b or op == "XlaLaunch":
            note("xla", "compiled by XLA, which a server has switched off unless told", where)
        if not signature:
            continue  # TensorFlow's own functions restore and save: they write, on the CPU.
        if node.device:
            note("device", f"bound to {node.device}", where)
        if op in FILES:
            note("files", f"{op} reaches the file system", where)
        if op.startswith(_WRITES) or any(part in op for part in _QUEUES):
            note("state", f"{op}: a request changes what the next one meets", where)
        if op == "Assert":
            note("assert", "a bad row fails the requests that share its batch", where, False)
    return [
        Finding(kind, what, tuple(sorted(where)), is_problem)
        for (kind, what, is_problem), where in found.items()
    ]
