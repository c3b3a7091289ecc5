"""Classify and Regress: rows that are tf.Example messages in, classes or numbers out.

The rules and messages are those of TensorFlow Serving's classifier.cc and regressor.cc.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_lm.serving.server.signature import DEFAULT, Signature
from keras_lm.serving.server.statuses import invalid

INPUTS = "inputs"
CLASSES, SCORES, OUTPUTS = "classes", "scores", "outputs"


@dataclasses.dataclass(frozen=True)
class Method:
    """What Classify or Regress asks of a signature, and makes of its outputs.

    Attributes:
        name: of the method in a SignatureDef.
        check: raises where a signature does not fit.
        outputs: the aliases of a signature's outputs that are asked for.
        write: puts arrays by alias into the result's message.
    """

    name: str
    check: Callable[[Signature], None]
    outputs: Callable[[Signature], list[str]]
    write: Callable[[Mapping[str, np.ndarray], int, Any], None]

    def signature(self, signatures: Mapping[str, Signature], name: str) -> Signature:
        """The signature that is asked.

        Raises:
            ServingError: it is not there, or not for this method.
        """
        name = name or DEFAULT
        if name not in signatures:
            raise invalid(f"No signature was found with the name: {name}")
        self.check(signatures[name])
        return signatures[name]


def serialized(message: Any) -> np.ndarray:
    """The rows of an Input message: serialized examples, each with the context before it.

    Raises:
        ServingError: there are none.
    """
    kind = message.WhichOneof("kind")
    rows: Sequence[Any] = getattr(message, kind).examples if kind else ()
    if not rows:
        raise invalid("Input is empty.")
    context = b""
    if kind == "example_list_with_context":
        context = message.example_list_with_context.context.SerializeToString()
    found = np.empty(len(rows), dtype=object)
    # Of two serialized messages in a row the second one's fields count.
    found[:] = [context + row.SerializeToString() for row in rows]
    return found


def _check_classify(signature: Signature) -> None:
    _check_input(signature, "classification")
    if len(signature.outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if not {CLASSES, SCORES} & set(signature.outputs):
        raise invalid(
            "Expected classification signature outputs to contain at least one of "
            f'"{CLASSES}" or "{SCORES}".'
        )


def _check_regress(signature: Signature) -> None:
    _check_input(signature, "regression")
    if len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if OUTPUTS not in signature.outputs:
        raise invalid("No regression outputs found in SignatureDef")


def _check_input(signature: Signature, what: str) -> None:
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if INPUTS not in signature.inputs:
        raise invalid(f"No {what} inputs found in SignatureDef")


def _classifications(outputs: Mapping[str, np.ndarray], rows: int, result: Any) -> None:
    classes, scores = outputs.get(CLASSES), outputs.get(SCORES)
    for name, value, dtype in ((CLASSES, classes, "O"), (SCORES, scores, "f")):
        if value is None:
            continue
        if value.ndim != 2:
            raise invalid(
                f"Expected Tensor shape: [batch_size num_classes] but got {list(value.shape)}"
            )
        if value.dtype.kind != dtype:
            raise invalid(f"Expected {name} Tensor of another type. Got: {value.dtype.name}")
        if len(value) != rows:
            raise invalid(f"Expected {name} output batch size of {rows}. Got: {len(value)}")
    if classes is not None and scores is not None and classes.shape != scores.shape:
        raise invalid(
            "Tensors class and score should match in dim_size(1). "
            f"Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    for row in range(rows):
        found = result.classifications.add()
        width = (classes if classes is not None else scores).shape[1]  # type: ignore[union-attr]
        for place in range(width):
            one = found.classes.add()
            if classes is not None:
                one.label = classes[row, place].decode("utf-8", "replace")
            if scores is not None:
                one.score = scores[row, place]


def _regressions(outputs: Mapping[str, np.ndarray], rows: int, result: Any) -> None:
    value = outputs[OUTPUTS]
    if value.ndim not in (1, 2) or value.shape[1:] not in ((), (1,)):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] "
            f"but got {list(value.shape)}"
        )
    if len(value) != rows:
        raise invalid(f"Input batch size did not match output batch size: {rows} vs. {len(value)}")
    if value.dtype != np.float32:
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {value.dtype.name}")
    for number in value.reshape(-1):
        result.regressions.add().value = number


CLASSIFY = Method(
    "tensorflow/serving/classify",
    _check_classify,
    lambda signature: [alias for alias in (CLASSES, SCORES) if alias in signature.outputs],
    _classifications,
)
REGRESS = Method(
    "tensorflow/serving/regress", _check_regress, lambda signature: [OUTPUTS], _regressions
)
