"""JSON bodies of Classify and Regress, and their answers: TensorFlow Serving's json_tensor.cc."""

from typing import Any

from keras_lm.serving.server.json_tensors import from_base64, is_base64
from keras_lm.serving.server.json_text import as_bytes, decimal, encoded, excerpt, kind_of, string
from keras_lm.serving.server.statuses import invalid

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def read(document: dict[str, Any], message: Any) -> None:
    """Puts a body's examples into an Input message.

    Raises:
        ServingError: the body is not in the format.
    """
    if "context" in document:
        target = message.example_list_with_context
        _read_example(document["context"], target.context)
    else:
        target = message.example_list
    if "examples" not in document:
        raise invalid(
            f"JSON Value: {excerpt(document)} When method is classify, key 'examples' is expected "
            "and was not found"
        )
    if not isinstance(document["examples"], list):
        raise invalid(
            f"JSON Value: {excerpt(document)} Expecting 'examples' value to be an list/array"
        )
    if not document["examples"]:
        raise invalid(f"JSON Value: {excerpt(document)} 'examples' value is an empty array")
    for example in document["examples"]:
        _read_example(example, target.examples.add())


def classes_body(result: Any) -> bytes:
    """The answer to Classify: for each example its classes, each a label and a score."""
    rows = (
        "[" + ", ".join(f"[{string(c.label)}, {decimal(c.score)}]" for c in classes.classes) + "]"
        for classes in result.classifications
    )
    return encoded('{"results": [' + ", ".join(rows) + "]}")


def numbers_body(result: Any) -> bytes:
    """The answer to Regress: a number for each example."""
    numbers = ", ".join(decimal(regression.value) for regression in result.regressions)
    return encoded('{"results": [' + numbers + "]}")


def _read_example(value: Any, example: Any) -> None:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {kind_of(value)}")
    example.SetInParent()
    for name, content in value.items():
        name = as_bytes(name).decode("utf-8", "replace")
        feature = example.features.feature[name]
        for element in content if isinstance(content, list) else [content]:
            _add(element, name, feature)


def _add(value: Any, name: str, feature: Any) -> None:
    if isinstance(value, str):
        _values(feature, name, "bytes_list").append(as_bytes(value))
    elif is_base64(value):
        _values(feature, name, "bytes_list").append(from_base64(value))
    elif isinstance(value, float):
        _values(feature, name, "float_list").append(value)
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
        _values(feature, name, "int64_list").append(int(value))
    else:
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {kind_of(value)}")


def _values(feature: Any, name: str, kind: str) -> Any:
    known = feature.WhichOneof("kind")
    if known not in (None, kind):
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {_KINDS[known]}")
    return getattr(feature, kind).value
