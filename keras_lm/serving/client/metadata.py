"""What a server tells of its models."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class TensorSpec(NamedTuple):
    """An input or an output.

    Attributes:
        dtype: TensorFlow's name: "string", "float32", "int64", ...
        shape: -1 where a size is free. None: the rank is.
    """

    dtype: str
    shape: tuple[int, ...] | None


class Signature(NamedTuple):
    """What can be asked of a model.

    Attributes:
        inputs: by name.
        outputs: by name.
        method: such as "tensorflow/serving/predict".
    """

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    method: str

    @property
    def has_rows(self) -> bool:
        """Whether the first dimension of every input and output is a batch of any size."""
        specs = (*self.inputs.values(), *self.outputs.values())
        return all(spec.shape and spec.shape[0] < 0 for spec in specs)


class VersionStatus(NamedTuple):
    """What a server says of one version of a model.

    Attributes:
        version: its number.
        state: "START", "LOADING", "AVAILABLE", "UNLOADING" or "END".
        error: why it is not served, "" where nothing went wrong.
    """

    version: int
    state: str
    error: str


_NAMES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_HALF": "float16"}


def dtype_name(proto_name: str) -> str:
    """TensorFlow's name of a dtype, of that in messages: "DT_FLOAT" is "float32"."""
    return _NAMES.get(proto_name, proto_name.removeprefix("DT_").lower())


def signatures_of_json(found: Mapping[str, Any]) -> dict[str, Signature]:
    """Reads the body of `/metadata`.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    definitions = found["metadata"]["signature_def"]["signature_def"]
    return {
        name: Signature(
            _specs(definition["inputs"]), _specs(definition["outputs"]), definition["method_name"]
        )
        for name, definition in sorted(definitions.items())
        if not name.startswith("__saved_model_")
    }


def _specs(tensors: Mapping[str, Any]) -> dict[str, TensorSpec]:
    found = {}
    for name, tensor in sorted(tensors.items()):
        shape = tensor["tensor_shape"]
        sizes = None if shape["unknown_rank"] else tuple(int(d["size"]) for d in shape["dim"])
        found[name] = TensorSpec(dtype_name(tensor["dtype"]), sizes)
    return found


def statuses_of_json(found: Mapping[str, Any]) -> list[VersionStatus]:
    """Reads the body of a model's status.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    return [
        VersionStatus(int(told["version"]), told["state"], told["status"].get("error_message", ""))
        for told in found["model_version_status"]
    ]
