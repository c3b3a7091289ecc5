"""Text of JSON as TensorFlow Serving reads and writes it: any bytes in strings, NaN and Infinity,
decimals that give back the same float32.
"""

import base64
import functools
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from keras_lm.serving.server.statuses import invalid

_LONGEST_EXCERPT = 256
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DECODER = json.JSONDecoder()
_ENCODER = json.JSONEncoder(ensure_ascii=False)
# The words of RapidJSON, which TensorFlow Serving answers.
_PARSE_ERRORS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Expecting ',' delimiter": "Missing a comma or a bracket after an element.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
}


def parse(body: bytes) -> dict[str, Any]:
    """Reads a body that holds one object.

    Bytes that are no UTF-8 stay what they are, see `as_bytes`; what stands behind the object is not
    read. Both as TensorFlow Serving.

    Raises:
        ServingError: it is no JSON, or no object.
    """
    text = body.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "surrogateescape").lstrip(" \t\r\n")
    if not text:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document, _ = _DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        what = _PARSE_ERRORS.get(error.msg, "Invalid escape character in string.")
        raise invalid(f"JSON Parse error: {what} at offset: {error.pos}") from None
    except RecursionError:
        raise invalid("JSON Parse error: The document is nested too deeply") from None
    except ValueError:  # a number of thousands of digits
        raise invalid("JSON Parse error: Number too big to be stored in double.") from None
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {excerpt(document)} Is not object")
    return document


def as_bytes(text: str) -> bytes:
    """The bytes that stood in the body.

    Raises:
        ServingError: half of a surrogate pair stood there, written as an escape.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from None


def excerpt(value: Any) -> str:
    """The beginning of a value's text, for messages."""
    text = ""
    try:
        for part in _ENCODER.iterencode(value):
            text += part[:_LONGEST_EXCERPT]
            if len(text) >= _LONGEST_EXCERPT:
                break
    except RecursionError:
        pass
    return text[:_LONGEST_EXCERPT]


def kind_of(value: Any) -> str:
    """RapidJSON's word for the type of a value."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    for kind, word in ((dict, "Object"), (list, "Array"), (str, "String")):
        if isinstance(value, kind):
            return word
    return "Number"


def error_body(message: str) -> bytes:
    """What a request is answered that failed; what it quotes and is no text becomes "?"."""
    return ('{"error": ' + _ENCODER.encode(message) + "}").encode("utf-8", "replace")


def predictions_body(outputs: Mapping[str, np.ndarray]) -> bytes:
    """The answer to rows: for each one its outputs; of one output alone, no name.

    Raises:
        ServingError: the outputs do not have the same number of rows.
    """
    rows = -1
    for name, value in outputs.items():
        if value.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if rows not in (-1, len(value)):
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {len(value)} expecting: {rows}"
            )
        rows = len(value)
    columns = {name: [_text(part, name) for part in value] for name, value in outputs.items()}
    if len(columns) == 1:
        found: Iterable[str] = next(iter(columns.values()))
    else:
        found = (
            "{"
            + ", ".join(f"{string(name)}: {texts[row]}" for name, texts in columns.items())
            + "}"
            for row in range(rows)
        )
    return encoded('{"predictions": [' + ", ".join(found) + "]}")


def outputs_body(outputs: Mapping[str, np.ndarray]) -> bytes:
    """The answer to columns: the outputs by name; of one output alone, no name."""
    if len(outputs) == 1:
        name, value = next(iter(outputs.items()))
        return encoded('{"outputs": ' + _text(value, name) + "}")
    members = ", ".join(f"{string(name)}: {_text(value, name)}" for name, value in outputs.items())
    return encoded('{"outputs": {' + members + "}}")


def encoded(text: str) -> bytes:
    """Strings of a model that are no UTF-8 are written as the bytes that they are."""
    return text.encode("utf-8", "surrogateescape")


def decimal(value: float, wide: bool = False) -> str:
    """A number as TensorFlow Serving writes it: six digits where they give it back, else nine.

    Args:
        value: a float32, or where `wide` a float64, then with 17 digits.
        wide: which.
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    text = f"{value:.6g}"
    again = float(text) if wide else float(np.float32(text))
    if again != value:
        text = f"{value:.{17 if wide else 9}g}"
    return text if "." in text or "e" in text else text + ".0"


def string(value: bytes | str) -> str:
    """A string's text."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    return _ENCODER.encode(value)


def _text(value: Any, name: str) -> str:
    value = np.array(value, object) if isinstance(value, bytes) else np.asarray(value)
    return _nested(value.tolist(), _writer(value.dtype, name))


def _writer(dtype: np.dtype, name: str) -> Callable[[Any], str]:
    if dtype.kind in "OS":
        # TensorFlow Serving's sign for bytes that are no text.
        return _base64 if name.endswith("_bytes") else string
    if dtype in (np.float32, np.float64):
        return functools.partial(decimal, wide=dtype == np.float64)
    if dtype.kind in "iu":
        return str
    if dtype.kind == "b":
        return lambda value: "true" if value else "false"
    raise invalid(f"Failed to write JSON value for tensor type: {dtype.name}")


def _nested(value: Any, write: Callable[[Any], str]) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_nested(element, write) for element in value) + "]"
    return write(value)


def _base64(value: bytes) -> str:
    return '{"b64": "' + base64.b64encode(value).decode() + '"}'
