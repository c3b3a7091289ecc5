"""One signature of a SavedModel: which tensors it takes and gives, and what a request must hold.

Knows names, dtypes and shapes; runs nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.serving.server.statuses import Code, ServingError, invalid

DEFAULT = "serving_default"
# Names of TensorFlow's own, which no request may run: what initializes and what trains.
_INTERNAL = ("__saved_model_init_op", "__saved_model_train_op")

Arrays = dict[str, np.ndarray]


class Signature:
    """What one entry of a SavedModel's `signature_def` takes and gives.

    Attributes:
        name: the key in `signature_def`.
        definition: the SignatureDef.
        joinable: whether every input and output says that its first dimension is a batch of any
            size: only then may the rows of several requests be run as one.
    """

    def __init__(self, name: str, definition: Any) -> None:
        self.name = name
        self.definition = definition
        self.inputs = {alias: definition.inputs[alias] for alias in sorted(definition.inputs)}
        self.outputs = {alias: definition.outputs[alias] for alias in sorted(definition.outputs)}
        self._input_types = {a: tf.as_dtype(info.dtype) for a, info in self.inputs.items()}
        self._defaults = {
            alias: tf.make_ndarray(value) for alias, value in definition.defaults.items()
        }
        infos = (*self.inputs.values(), *self.outputs.values())
        self.joinable = bool(self.inputs) and all(_has_free_batch(info) for info in infos)

    def feeds(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Checks a request's inputs.

        Args:
            inputs: arrays by alias.

        Returns:
            What to feed, by the names of the graph's tensors.

        Raises:
            ServingError: an input is missing, unknown or of a wrong dtype or shape.
        """
        self._check_aliases(inputs)
        found = {}
        for alias, info in self.inputs.items():
            value = inputs.get(alias)
            if value is None:
                value = self._defaults[alias]
            self._check(alias, info, value)
            found[info.name] = value
        return found

    def fetches(self, output_filter: Iterable[str] = ()) -> dict[str, str]:
        """The names of the graph's tensors by alias, of all outputs or those asked for.

        Raises:
            ServingError: an output is unknown or asked for twice.
        """
        chosen: dict[str, str] = {}
        for alias in output_filter:
            if alias not in self.outputs:
                raise invalid(
                    f"output tensor alias not found in signature: {alias} Outputs expected to be "
                    f"in the set {{{','.join(self.outputs)}}}."
                )
            if alias in chosen:
                raise invalid(f"duplicate output tensor alias: {alias}")
            chosen[alias] = self.outputs[alias].name
        return chosen or {alias: info.name for alias, info in self.outputs.items()}

    def _check_aliases(self, inputs: Mapping[str, np.ndarray]) -> None:
        given, known = set(inputs), set(self.inputs)
        missing = known - given
        # TensorFlow Serving compares the numbers, and then looks for each name.
        if len(given) > len(known) or (missing and not missing <= set(self._defaults)):
            raise invalid(
                f"input size does not match signature: {len(given)}!={len(known)} "
                f"len({{{_listed(given)}}}) != len({{{_listed(known)}}}). Sent extra: "
                f"{{{_listed(given - known)}}}. Missing but required: {{{_listed(missing)}}}."
            )
        for alias in sorted(given - known):
            raise invalid(
                f"input tensor alias not found in signature: {alias}. Inputs expected to be in "
                f"the set {{{_listed(known)}}}."
            )

    def _check(self, alias: str, info: Any, value: np.ndarray) -> None:
        expected = self._input_types[alias]
        if not has_type(value, expected):
            raise invalid(
                f"input tensor {alias} must be of type {expected.name}. "
                f"Received: {type_name(value)}"
            )
        shape = info.tensor_shape
        if shape.unknown_rank:
            return
        sizes = [dim.size for dim in shape.dim]
        fits = len(sizes) == value.ndim and all(
            size in (-1, given) for size, given in zip(sizes, value.shape, strict=True)
        )
        if not fits:
            raise invalid(
                f"input tensor {alias} must have the shape [{','.join(map(str, sizes))}], where -1 "
                f"is any size. Received: [{','.join(map(str, value.shape))}]"
            )


def rows_of(feeds: Mapping[str, np.ndarray]) -> int:
    """How many rows a request has.

    Raises:
        ServingError: its inputs do not agree.
    """
    sizes = {value.shape[0] for value in feeds.values()}
    if len(sizes) != 1:
        raise invalid("Batching session Run() input tensors must have equal 0th-dimension size")
    return sizes.pop()


def find(signatures: Mapping[str, Signature], name: str) -> Signature:
    """The signature of a Predict request.

    Raises:
        ServingError: it is not there.
    """
    name = name or DEFAULT
    if name not in signatures:
        raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    return signatures[name]


def signatures_of(definitions: Mapping[str, Any]) -> dict[str, Signature]:
    """Those that can be asked, of a MetaGraphDef's `signature_def`."""
    return {
        name: Signature(name, definition)
        for name, definition in sorted(definitions.items())
        if name not in _INTERNAL and _is_dense(definition)
    }


def has_type(value: np.ndarray, expected: tf.DType) -> bool:
    """Whether an array is of a dtype; strings are arrays of bytes objects."""
    if expected == tf.string:
        return value.dtype.kind in "OS"
    return value.dtype == expected.as_numpy_dtype


def type_name(value: np.ndarray) -> str:
    """The name that TensorFlow has for the dtype of an array."""
    return "string" if value.dtype.kind in "OSU" else value.dtype.name


def _is_dense(definition: Any) -> bool:
    infos = (*definition.inputs.values(), *definition.outputs.values())
    return all(info.WhichOneof("encoding") == "name" for info in infos)


def _has_free_batch(info: Any) -> bool:
    shape = info.tensor_shape
    return not shape.unknown_rank and len(shape.dim) > 0 and shape.dim[0].size == -1


def _listed(names: Sequence[str] | set[str]) -> str:
    return ",".join(sorted(names))
