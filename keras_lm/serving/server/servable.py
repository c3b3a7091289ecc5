"""One version of a model in memory: a SavedModel in a session of TensorFlow.

A session and not `tf.saved_model.load`, as in TensorFlow Serving: closing it gives all of the
memory back, a run takes a time limit, and no Python object of the model is built. Runs of several
threads may overlap.
"""

import os
import pathlib
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.serving.audit.graph_file import read_meta_graph
from keras_lm.serving.server.completions.state_graph import StateGraph, states_in
from keras_lm.serving.server.operations import refused_operations
from keras_lm.serving.server.signature import signatures_of
from keras_lm.serving.server.statuses import Code, ServingError, invalid

_INIT = "__saved_model_init_op"
_V1_INITS = ("saved_model_main_op", "legacy_init_op")


class Servable:
    """A version that can be run until it is closed.

    Args:
        name: of the model.
        version: positive.
        path: the directory with `saved_model.pb`.
        num_threads: threads of TensorFlow's for the operations of all models. None: all cores.
        allow_unsafe: whether it may run Python functions or touch files.

    Attributes:
        signatures: `Signature` by name.
        definitions: `signature_def` as it stands in the file.
        states: what an engine runs, or None: it is no export that streams.

    Raises:
        ServingError: there is no SavedModel, or it is one that is refused.
        tf.errors.OpError: TensorFlow cannot load it.
    """

    def __init__(
        self,
        name: str,
        version: int,
        path: pathlib.Path,
        *,
        num_threads: int | None = None,
        allow_unsafe: bool = False,
    ) -> None:
        self.name, self.version, self.path = name, version, path
        meta_graph = _read(path)
        unsafe, unknown = refused_operations(meta_graph, allow_unsafe)
        if unsafe:
            raise ServingError(
                Code.PERMISSION_DENIED,
                "A SavedModel must not run Python or touch files, unless unsafe operations are "
                f"allowed. Received: {', '.join(unsafe)}",
            )
        if unknown:
            raise ServingError(
                Code.PERMISSION_DENIED,
                "A SavedModel must have operations of TensorFlow alone, or of libraries that the "
                f"server was started with. Received: {', '.join(unknown)}",
            )
        self.states: StateGraph | None
        self.definitions = dict(meta_graph.signature_def)
        self.signatures = signatures_of(self.definitions)
        graph = _graph(meta_graph)
        self.states = states_in(graph, self.definitions)
        graph.finalize()
        self._in_use = 0
        self._unused = threading.Condition()
        self._session: tf.compat.v1.Session | None = _session(graph, meta_graph, path, num_threads)

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        seconds: float | None = None,
    ) -> list[np.ndarray]:
        """Runs the graph.

        Args:
            feeds: arrays by the names of the graph's tensors.
            fetches: names of the tensors to answer.
            seconds: the longest that it may take. None: any time.

        Returns:
            The tensors, strings as arrays of bytes objects.

        Raises:
            tf.errors.OpError: it failed, or took too long.
        """
        session = self._session
        if session is None:
            raise ServingError(Code.UNAVAILABLE, "The version was unloaded")
        options = None
        if seconds is not None:
            options = tf.compat.v1.RunOptions(timeout_in_ms=max(1, int(seconds * 1000)))
        found = session.run(list(fetches), dict(feeds), options=options)
        # A scalar string comes as bytes, not as an array.
        return [v if isinstance(v, np.ndarray) else _as_array(v) for v in found]

    def retain(self) -> None:
        """Says that somebody needs it: it is not closed before `release`."""
        with self._unused:
            self._in_use += 1

    def release(self) -> None:
        """Takes back one `retain`."""
        with self._unused:
            self._in_use -= 1
            self._unused.notify_all()

    def close_when_unused(self, seconds: float | None = None) -> bool:
        """Waits for those that need it, then frees the memory.

        Args:
            seconds: the longest wait. None: any time.

        Returns:
            Whether it is closed.
        """
        with self._unused:
            if not self._unused.wait_for(lambda: self._in_use == 0, seconds):
                return False
        session, self._session = self._session, None
        if session is not None:
            session.close()
        return True


def _as_array(value: Any) -> np.ndarray:
    return np.array(value, dtype=object if isinstance(value, bytes) else None)


def _read(path: pathlib.Path) -> Any:
    try:
        meta_graph = read_meta_graph(path)
    except FileNotFoundError:
        raise ServingError(Code.NOT_FOUND, "A version must have a saved_model.pb") from None
    except ValueError as error:
        raise ServingError(Code.DATA_LOSS, "saved_model.pb is not a SavedModel") from error
    if "serve" not in meta_graph.meta_info_def.tags:
        raise invalid('A SavedModel must have a graph with the tag "serve"')
    return meta_graph


def _graph(meta_graph: Any) -> tf.Graph:
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(meta_graph.graph_def, name="")
    return graph


def _session(
    graph: tf.Graph, meta_graph: Any, path: pathlib.Path, num_threads: int | None
) -> tf.compat.v1.Session:
    config = tf.compat.v1.ConfigProto(
        allow_soft_placement=True,
        intra_op_parallelism_threads=num_threads or 0,
        inter_op_parallelism_threads=num_threads or 0,
    )
    config.gpu_options.allow_growth = True
    session = tf.compat.v1.Session(graph=graph, config=config)
    try:
        _restore(session, meta_graph, path)
    except BaseException:
        session.close()
        raise
    return session


def _restore(session: tf.compat.v1.Session, meta_graph: Any, path: pathlib.Path) -> None:
    """Reads the weights and runs what initializes tables."""
    variables = path / "variables" / "variables"
    saver = meta_graph.saver_def
    if saver.restore_op_name and variables.with_suffix(".index").exists():
        session.run(saver.restore_op_name, {saver.filename_tensor_name: os.fspath(variables)})
    assets = {
        asset.tensor_info.name: os.fspath(path / "assets" / os.path.basename(asset.filename))
        for asset in meta_graph.asset_file_def
    }
    if _INIT in meta_graph.signature_def:
        session.run(meta_graph.signature_def[_INIT].outputs[_INIT].name, assets)
        return
    for key in _V1_INITS:
        if key in meta_graph.collection_def:
            session.run(meta_graph.collection_def[key].node_list.value[0], assets)
            return
