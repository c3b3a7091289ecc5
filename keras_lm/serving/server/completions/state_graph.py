"""What an engine runs in a model's graph: states of rows that stay inside of TensorFlow.

An export that streams has the signatures `prefill`, `prefill_ids`, `decode_chunk` and
`join_states`: each gives a state, a tensor for each of its names, and takes what another gave. A
state holds the cache, of GPT-2 up to 72 MB a row, so here it is never fetched. Nodes beside the
signatures' own put it into the session's own memory and give back strings, the handles that it is
asked for by. Knows nothing of requests.
"""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

PREFILLS = ("prefill", "prefill_ids")
DECODE, JOIN = "decode_chunk", "join_states"
# Tokens that a joined cache has room for, before it is copied to grow.
_ROOM = np.int32(64)
# What is looked at of a state; it is small.
LOOKED_AT = ("reason", "count", "piece", "status", "token_ids", "prompt_ids", "prompt_lengths")
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_OTHER = "other_"
_SCOPE = "keras_lm_engine"

State = list[bytes]  # the handles of its tensors
Looked = dict[str, np.ndarray]


class Runs(Protocol):
    """A version in memory."""

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        seconds: float | None = None,
    ) -> list[np.ndarray]:
        """See `keras_lm.serving.server.servable.Servable`."""


def states_in(graph: tf.Graph, definitions: Mapping[str, Any]) -> "StateGraph | None":
    """The nodes for a graph; None where it has no signatures that stream."""
    if not {*PREFILLS, DECODE, JOIN} <= set(definitions):
        return None
    try:
        return StateGraph(graph, definitions)
    except (ValueError, KeyError):  # signatures of somebody else's that have these names
        return None


class StateGraph:
    """The nodes beside the signatures of one version.

    Attributes:
        input_types: dtypes of what each of `PREFILLS` takes, by alias.

    Args:
        graph: of the version, not yet finalized.
        definitions: its `signature_def`.

    Raises:
        ValueError: the signatures are not those of an export that streams.
    """

    def __init__(self, graph: tf.Graph, definitions: Mapping[str, Any]) -> None:
        decode = definitions[DECODE]
        self._names = sorted(set(decode.inputs) - {"num_tokens"})
        types = {name: tf.as_dtype(decode.inputs[name].dtype) for name in self._names}
        with graph.as_default(), tf.name_scope(_SCOPE):
            handles, other_handles = (
                [tf.compat.v1.placeholder("string", []) for _ in self._names] for _ in range(2)
            )
            self._handles, self._others = [x.name for x in handles], [x.name for x in other_handles]
            mine = dict(zip(self._names, map(_taken, handles, types.values()), strict=True))
            # Not taken: where rows leave and none join, the other state stays the empty one.
            others = {
                name: tf.raw_ops.GetSessionTensor(handle=handle, dtype=types[name])
                for name, handle in zip(self._names, other_handles, strict=True)
            }
            num_tokens = tf.compat.v1.placeholder("int32", [])
            rows, other_rows = (tf.compat.v1.placeholder("int32", [None]) for _ in range(2))
            self._num_tokens, self._rows, self._other_rows = (
                x.name for x in (num_tokens, rows, other_rows)
            )
            deletes = [tf.raw_ops.DeleteSessionTensor(handle=handle) for handle in handles]
            self._deletes = [delete.name for delete in deletes]
            self._delete = tf.group(*deletes).name
            self._inputs = {
                name: {alias: info.name for alias, info in definitions[name].inputs.items()}
                for name in PREFILLS
            }
            self.input_types = {
                name: {a: tf.as_dtype(info.dtype) for a, info in definitions[name].inputs.items()}
                for name in PREFILLS
            }
            self._outputs = {
                name: self._put(
                    {
                        alias: graph.get_tensor_by_name(info.name)
                        for alias, info in definitions[name].outputs.items()
                    }
                )
                for name in PREFILLS
            }
            decoded = _called(graph, decode, {**mine, "num_tokens": num_tokens})
            self._outputs[DECODE] = self._put(decoded)
            join = definitions[JOIN]
            theirs = {_OTHER + name: tensor for name, tensor in others.items()}
            which = {"num_tokens": num_tokens, "rows": rows, "other_rows": other_rows}
            self._outputs[JOIN] = self._put(_called(graph, join, {**mine, **theirs, **which}))
        self._empty: State = []

    def prefill(
        self, servable: Runs, name: str, inputs: Mapping[str, np.ndarray]
    ) -> tuple[State, Looked]:
        """Reads prompts.

        Args:
            servable: the version.
            name: one of `PREFILLS`.
            inputs: arrays by alias.

        Returns:
            The state, and what is looked at.
        """
        feeds = {tensor: inputs[alias] for alias, tensor in self._inputs[name].items()}
        return self._run(servable, name, feeds)

    def decode(self, servable: Runs, state: State, num_tokens: int) -> tuple[State, Looked]:
        """Takes more tokens; the state is used up, also where this fails."""
        feeds = {self._num_tokens: np.int32(num_tokens), **self._fed(self._handles, state)}
        return self._run(servable, DECODE, feeds)

    def join(
        self,
        servable: Runs,
        state: State,
        rows: Sequence[int],
        other: State,
        other_rows: Sequence[int],
    ) -> State:
        """Puts rows of two states together; both are used up, also where this fails."""
        try:
            return self._joined(servable, state, rows, other, other_rows)
        finally:
            self.release(servable, other)

    def select(self, servable: Runs, state: State, rows: Sequence[int]) -> State:
        """Keeps some rows of a state, which is used up, also where this fails."""
        if not self._empty:
            inputs = {
                alias: np.zeros([0], dtype.as_numpy_dtype)  # texts and options: all of one rank
                for alias, dtype in self.input_types[PREFILLS[0]].items()
            }
            self._empty, _ = self.prefill(servable, PREFILLS[0], inputs)
        return self._joined(servable, state, rows, self._empty, [])

    def release(self, servable: Runs, state: State) -> None:
        """Frees a state's memory."""
        if not state:
            return
        try:
            servable.run(self._fed(self._handles, state), [self._delete])
        except tf.errors.OpError:
            # Those that a run took before it failed are not there any more; others may be.
            for name, delete, handle in zip(self._handles, self._deletes, state, strict=True):
                with contextlib.suppress(tf.errors.OpError):
                    servable.run({name: np.array(handle)}, [delete])

    def _joined(
        self,
        servable: Runs,
        state: State,
        rows: Sequence[int],
        other: State,
        other_rows: Sequence[int],
    ) -> State:
        feeds = {
            self._num_tokens: _ROOM,
            self._rows: np.array(rows, np.int32),
            self._other_rows: np.array(other_rows, np.int32),
            **self._fed(self._handles, state),
            **self._fed(self._others, other),
        }
        return self._run(servable, JOIN, feeds)[0]

    def _fed(self, placeholders: Sequence[str], state: State) -> dict[str, np.ndarray]:
        return {name: np.array(h) for name, h in zip(placeholders, state, strict=True)}

    def _put(self, outputs: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
        """Names of what gives handles of a state, and of what is looked at."""
        handles = [tf.raw_ops.GetSessionHandle(value=outputs[name]).name for name in self._names]
        return handles, {name: outputs[name].name for name in LOOKED_AT if name in outputs}

    def _run(self, servable: Runs, name: str, feeds: Mapping[str, Any]) -> tuple[State, Looked]:
        handles, looked = self._outputs[name]
        found = servable.run(feeds, [*handles, *looked.values()])
        # Raw: the object around a handle would delete it with nodes that it adds to the graph.
        state = [value.item().get_raw_handle() for value in found[: len(handles)]]
        return state, dict(zip(looked, found[len(handles) :], strict=True))


def _taken(handle: Any, dtype: tf.DType) -> Any:
    """A tensor out of the session's memory, which does not hold it any longer.

    Who computes with it is then alone in holding it, and may write into it.
    """
    kept = tf.raw_ops.GetSessionTensor(handle=handle, dtype=dtype)
    with tf.control_dependencies([kept]):
        deleted = tf.raw_ops.DeleteSessionTensor(handle=handle)
    with tf.control_dependencies([deleted]):
        return tf.identity(kept)


def _called(graph: tf.Graph, definition: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Calls a signature's function once more, with other inputs.

    Raises:
        ValueError: the signature is not a call of one function.
    """
    outputs = definition.outputs.items()
    found = {alias: graph.get_tensor_by_name(info.name) for alias, info in outputs}
    calls = {tensor.op.name: tensor.op for tensor in found.values()}
    (call,) = calls.values() if len(calls) == 1 else (None,)
    if call is None or call.type not in _CALLS:
        kinds = sorted(op.type for op in calls.values())
        raise ValueError(f"A signature must be one call of a function. Received: {kinds}")
    aliases = {info.name: alias for alias, info in definition.inputs.items()}
    part = tf.compat.v1.GraphDef(versions=graph.graph_def_versions)
    given = {}
    for place, tensor in enumerate(call.inputs):
        stand_in = part.node.add(name=f"input_{place}", op="Placeholder")
        stand_in.attr["dtype"].type = tensor.dtype.as_datatype_enum
        alias = aliases.get(tensor.name)
        given[f"{stand_in.name}:0"] = tensor if alias is None else inputs[alias]
    node = part.node.add()
    node.CopyFrom(call.node_def)
    node.name = "call"
    del node.input[:]
    node.input.extend(f"input_{place}" for place in range(len(call.inputs)))
    wanted = [f"call:{tensor.value_index}" for tensor in found.values()]
    called = tf.import_graph_def(part, input_map=given, return_elements=wanted, name="again")
    return dict(zip(found, called, strict=True))
