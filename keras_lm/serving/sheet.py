"""What an operator reads of a version: `signatures.json`, and a card as `README.md`.

Both lie in `assets.extra/`, which TensorFlow Serving leaves alone.
"""

import base64
import json
import math
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lm.checkpoints.model_card import data_and_scores, limits
from keras_lm.serving.questions import EXAMPLES, example_texts
from keras_lm.serving.signatures import METHODS
from keras_lm.version import __version__

_DEFAULT = "serving_default"
SIGNATURES, CARD = "signatures.json", "README.md"
_SHOWN = 6  # values of an example that the card shows; the sheet has all


def signature_entry(
    name: str,
    function: Any,
    example: tuple[Mapping, Mapping] | None,
    features: Iterable[str] = (),
) -> dict[str, Any]:
    """What the sheet says of one signature.

    Args:
        name: its name.
        function: its ConcreteFunction.
        example: a question and its answer, or None.
        features: those that a `tf.Example` for it has.
    """
    outputs = function.structured_outputs
    entry: dict[str, Any] = {
        "method": name if name in METHODS else "predict",
        "inputs": {
            spec.name: _spec(spec) for spec in tf.nest.flatten(function.structured_input_signature)
        },
        "outputs": {name: _spec(spec) for name, spec in sorted(outputs.items())},
    }
    if example is not None:
        asked, answered = example
        request, response = (
            _of_examples(name, asked, answered, features)
            if name in METHODS
            else ({"inputs": as_json(asked)}, {"outputs": as_json(answered)})
        )
        of_name = {} if name == _DEFAULT else {"signature_name": name}
        entry["example"] = {"request": {**of_name, **request}, "response": response}
    return entry


def _of_examples(
    name: str, asked: Mapping, answered: Mapping, features: Iterable[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Bodies of `:classify` and `:regress`."""
    found = as_json(answered)
    if name == "classify":
        rows = zip(found["classes"], found["scores"], strict=True)
        results: list[Any] = [[list(pair) for pair in zip(*row, strict=True)] for row in rows]
    else:
        results = found["outputs"]
    texts = [example_texts(row) for row in asked[EXAMPLES]]
    examples = [{key: row[key] for key in sorted(features)} for row in texts]
    return {"examples": examples}, {"results": results}


def write_sheet(
    directory: pathlib.Path,
    name: str,
    model: Any,
    options: Mapping[str, Any],
    signatures: Mapping[str, dict],
    about: str | None,
) -> None:
    """Writes both files.

    Args:
        directory: `assets.extra` of a version.
        name: the name that the model is served under.
        model: the model.
        options: what the export was asked for.
        signatures: of each signature what `signature_entry` gives.
        about: what its authors say of the model: its data, its scores, its limits.
    """
    labels = [str(label) for label in getattr(model, "labels", None) or ()]
    sheet = {
        "name": name,
        "keras_lm": __version__,
        "tensorflow": tf.__version__,
        "model": {
            "class": type(model).__name__,
            "parameters": model.count_params(),
            "dtype": keras.dtype_policies.get(model.dtype_policy).name,
            **({"labels": labels} if labels else {}),
        },
        "export": dict(options),
        "signatures": dict(signatures),
    }
    text = json.dumps(sheet, indent=2, ensure_ascii=False, allow_nan=False)
    (directory / SIGNATURES).write_text(text + "\n", "utf-8")
    (directory / CARD).write_text(_card(name, model, signatures, about), "utf-8")


def as_json(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Arrays as TensorFlow Serving's REST interface writes them, by column.

    Bytes that are no UTF-8 become `{"b64": ...}`, numbers that are not finite text.
    """
    return {name: _plain(np.asarray(values).tolist()) for name, values in tensors.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no such number
    return value


def _spec(spec: Any) -> dict[str, Any]:
    shape = None if spec.shape.rank is None else [-1 if n is None else n for n in spec.shape]
    return {"dtype": spec.dtype.name, "shape": shape}


def _card(name: str, model: Any, signatures: Mapping[str, dict], about: str | None) -> str:
    default = signatures.get(_DEFAULT, {}).get("example")
    policy = keras.dtype_policies.get(model.dtype_policy).name
    lines = [
        f"# {name}",
        "",
        f"{type(model).__name__} of keras_lm {__version__}, {model.count_params():,} parameters, "
        f"{policy}; written with TensorFlow {tf.__version__}.",
        "",
        *((about.strip(), "") if about else ()),
    ]
    labels = getattr(model, "labels", None)
    if labels:
        lines += [f"Labels: {', '.join(map(str, labels))}.", ""]
    if default:
        lines += [
            "## Ask it",
            "",
            "```",
            f"curl -d '{_shell(default['request'])}' \\",
            f"  http://localhost:8501/v1/models/{name}:predict",
            "```",
            "",
            "answers",
            "",
            "```json",
            json.dumps(_short(default["response"]), ensure_ascii=False),
            "```",
            "",
        ]
    lines += [*data_and_scores(model), "## Limits", ""]
    lines += [*limits(model), ""]
    lines += ["## Signatures", "", "| signature | inputs | outputs |", "|---|---|---|"]
    for key, entry in sorted(signatures.items()):
        lines.append(f"| `{key}` | {_tensors(entry['inputs'])} | {_tensors(entry['outputs'])} |")
    lines += [
        "",
        f"`{SIGNATURES}` has an example of each, with its answer. `status` is 0 where a row was "
        "answered as asked; its bits say what was cut or brought into range.",
        "",
    ]
    return "\n".join(lines)


def _tensors(specs: Mapping[str, dict]) -> str:
    def show(name: str, spec: dict) -> str:
        shape = spec["shape"] or []
        sizes = [
            "batch" if i == 0 and n < 0 else "?" if n < 0 else str(n) for i, n in enumerate(shape)
        ]
        return f"`{name}` {spec['dtype']} [{', '.join(sizes)}]"

    return ", ".join(show(name, spec) for name, spec in specs.items())


def _shell(request: dict) -> str:
    return json.dumps(request, ensure_ascii=False).replace("'", "'\\''")


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list):
        kept = [_short(item) for item in value[:_SHOWN]]
        return [*kept, "..."] if len(value) > _SHOWN else kept
    return round(value, 4) if isinstance(value, float) else value
