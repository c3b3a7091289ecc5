"""Holds an export against the model it was made from, over texts of the user's.

The export answers in TensorFlow's C++ library, in a process without TensorFlow's Python; the model
answers here.
"""

import base64
import importlib.util
import itertools
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_lm.serving.audit.graph_file import Graph, read_meta_graph
from keras_lm.serving.exporting import signatures_of
from keras_lm.serving.extra_files import DIRECTORY
from keras_lm.serving.questions import (
    EXAMPLES,
    TEXTS,
    Question,
    answer,
    inputs_of,
    is_for_an_engine,
    question,
)
from keras_lm.serving.sheet import SIGNATURES

_ROWS = 16
_SCRIPT = pathlib.Path(__file__).with_name("native_session.py")


class Difference(NamedTuple):
    """One value in which export and model differ.

    Attributes:
        signature: its name.
        output: its name.
        text: what the row was asked.
        model: the model's value.
        export: the export's.
    """

    signature: str
    output: str
    text: str
    model: Any
    export: Any


class Verification(NamedTuple):
    """What `verify` found.

    Attributes:
        signatures: which were asked.
        texts: how many texts each was asked.
        largest: the largest difference of a number, by signature.
        differences: those above the tolerance, and of strings and whole numbers all.
    """

    signatures: tuple[str, ...]
    texts: int
    largest: dict[str, float]
    differences: tuple[Difference, ...]


def verify(
    path: str | os.PathLike,
    model: Any,
    texts: Sequence[str],
    *,
    tolerance: float = 1e-4,
    library: str | os.PathLike | None = None,
) -> Verification:
    """Asks an export and its model the same.

    Every signature that takes text is asked every text, greedily where it generates; but not those
    that give a state for an engine to go on from.

    Args:
        path: one version, with the `assets.extra/signatures.json` that `export` writes.
        model: the model that it shall equal, with its tokenizer.
        texts: what is asked.
        tolerance: how far numbers may lie apart, absolutely or by the model's value.
        library: the directory of another TensorFlow's `libtensorflow_cc.so.2`. None: that of the
            one installed.

    Raises:
        FileNotFoundError: there is no SavedModel, no sheet or no library.
        ValueError: there are no texts, or the signatures are not those of the model.
        RuntimeError: TensorFlow cannot load the export or does not answer.
    """
    path = pathlib.Path(path)
    if isinstance(texts, str) or not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"texts must be a list of strings, at least one. Received: {texts!r:.80}")
    graph = Graph(read_meta_graph(path))
    sheet = path / DIRECTORY / SIGNATURES
    if not sheet.is_file():
        raise FileNotFoundError(
            f"An export is verified by the {SIGNATURES} that keras_lm.export writes with it. "
            f"Received: {path}, which has none"
        )
    options = json.loads(sheet.read_text("utf-8"))["export"]
    functions = signatures_of(model, **options)
    if set(functions) != set(graph.signatures):
        raise ValueError(
            f"The export must have the model's signatures, {', '.join(sorted(functions))}. "
            f"Received: {', '.join(sorted(graph.signatures))}"
        )
    asked: list[tuple[str, list[str], Question]] = []
    concrete = {name: functions[name].get_concrete_function() for name in sorted(functions)}
    for name, function in concrete.items():
        inputs = inputs_of(function)
        if (TEXTS | {EXAMPLES}) & set(inputs) and not is_for_an_engine(function):
            for rows in _batches(texts, _ROWS):
                asked.append((name, rows, question(inputs, rows, model.tokenizer.encode)))
    answers = _ask_natively(path, graph, asked, library)
    differences: list[Difference] = []
    largest: dict[str, float] = {}
    for (name, rows, values), found in zip(asked, answers, strict=True):
        here = answer(concrete[name], values)
        apart = [_compare(name, key, rows, here[key], found[key], tolerance) for key in here]
        differences += itertools.chain.from_iterable(there for there, _ in apart)
        largest[name] = max([largest.get(name, 0.0), *(far for _, far in apart)])
    return Verification(tuple(largest), len(texts), largest, tuple(differences))


def _batches(texts: Sequence[str], size: int) -> Iterator[list[str]]:
    for begin in range(0, len(texts), size):
        yield list(texts[begin : begin + size])


def _compare(
    signature: str,
    output: str,
    rows: list[str],
    model: np.ndarray,
    export: np.ndarray,
    tolerance: float,
) -> tuple[list[Difference], float]:
    """The rows that differ, and how far numbers lie apart at most."""
    if model.shape != export.shape:
        return [Difference(signature, output, rows[0], model.shape, export.shape)], 0.0
    if model.dtype.kind != "f":
        same, far = model == export, 0.0
    else:
        gaps = np.where(model == export, 0.0, np.abs(model - export))
        same = gaps <= tolerance * np.maximum(1.0, np.abs(model))  # False where there is a NaN
        far = float(np.max(gaps, initial=0.0))
    here, there = model.tolist(), export.tolist()
    wrong = [i for i in range(len(rows)) if not np.all(same[i])]
    return [Difference(signature, output, rows[i], here[i], there[i]) for i in wrong], far


def _ask_natively(
    path: pathlib.Path,
    graph: Graph,
    asked: Sequence[tuple[str, list[str], Question]],
    library: str | os.PathLike | None,
) -> list[dict[str, np.ndarray]]:
    if library is None:
        found = importlib.util.find_spec("tensorflow")
        library = str(found.submodule_search_locations[0])  # type: ignore[index, union-attr]
    questions = []
    for name, _, values in asked:
        definition = graph.signatures[name]
        questions.append(
            {
                "inputs": {
                    definition.inputs[key].name: _tensor(value, definition.inputs[key].dtype)
                    for key, value in values.items()
                },
                "outputs": [info.name for _, info in sorted(definition.outputs.items())],
            }
        )
    done = subprocess.run(
        [sys.executable, "-I", str(_SCRIPT), str(library), str(path)],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"TensorFlow must answer. Received: {done.stderr.strip()[-2000:]}")
    return [
        {
            key: _array(value)
            for key, value in zip(sorted(graph.signatures[name].outputs), answers, strict=True)
        }
        for (name, _, _), answers in zip(asked, json.loads(done.stdout), strict=True)
    ]


def _tensor(value: np.ndarray, dtype: int) -> dict[str, Any]:
    flat = value.reshape(-1).tolist()
    if dtype == tf.string.as_datatype_enum:
        flat = [base64.b64encode(text).decode("ascii") for text in flat]
    return {"dtype": dtype, "shape": list(value.shape), "values": flat}


def _array(tensor: Mapping[str, Any]) -> np.ndarray:
    dtype = tf.as_dtype(tensor["dtype"])
    values = tensor["values"]
    if dtype == tf.string:
        values = [base64.b64decode(text) for text in values]
    return np.array(values, dtype.as_numpy_dtype).reshape(tensor["shape"])
