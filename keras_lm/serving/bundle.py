"""Writes what the stock `tensorflow/serving` image needs to serve a directory of exports."""

import json
import os
import pathlib
import re
import shutil
import string
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

from keras_lm.serving.extra_files import DIRECTORY
from keras_lm.serving.sheet import SIGNATURES

IMAGE = "tensorflow/serving:2.20.0"
_TEMPLATES = pathlib.Path(__file__).parent / "templates"
_GIGABYTE = 2**30
# Rows of a batch. An encoder's batch ends at once for all; where text is generated, a row waits
# for the longest one beside it.
_ROWS, _GENERATING_ROWS = 32, 8
_TIMEOUT_MICROS, _GENERATING_TIMEOUT_MICROS = 2_000, 10_000
_DEFAULT = "serving_default"
_NAME = re.compile(r"[a-zA-Z0-9_.-]+")


class Exported(NamedTuple):
    """A model of the directory.

    Attributes:
        name: its directory.
        versions: numbers, ascending.
        size: bytes of the newest version.
        sheet: the newest version's `signatures.json`, or {} where it has none.
    """

    name: str
    versions: tuple[int, ...]
    size: int
    sheet: dict

    @property
    def generates(self) -> bool:
        """Whether it writes text token by token."""
        return "generate" in self.sheet.get("signatures", {})


def exported_models(directory: str | os.PathLike) -> list[Exported]:
    """The models of a directory: whatever has versions with a `saved_model.pb`.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a name that a URL or a config could not hold.
    """
    directory = pathlib.Path(directory)
    found = []
    for home in sorted(directory.iterdir()) if directory.is_dir() else []:
        files = [file for file in home.glob("*/saved_model.pb") if file.parent.name.isdecimal()]
        versions = sorted(int(file.parent.name) for file in files)
        if not versions:
            continue
        if not _NAME.fullmatch(home.name):
            raise ValueError(
                f"Names of models are letters, digits, _, . and -. Received: {home.name!r}"
            )
        newest = home / str(versions[-1])
        size = sum(file.stat().st_size for file in newest.rglob("*") if file.is_file())
        sheet = newest / DIRECTORY / SIGNATURES
        text = sheet.read_text("utf-8") if sheet.is_file() else "{}"
        found.append(Exported(home.name, tuple(versions), size, json.loads(text)))
    if not found:
        raise FileNotFoundError(
            "A bundle needs a directory of models, NAME/VERSION/saved_model.pb in it. "
            f"Received: {directory}"
        )
    return found


def bundle(
    directory: str | os.PathLike,
    output: str | os.PathLike | None = None,
    *,
    image: str = IMAGE,
    overwrite: bool = False,
) -> pathlib.Path:
    """Writes the files that serve every model of a directory.

    `models.config`: each model with its newest version as `stable`; where there are two, the newest
    is `canary` and the one before `stable`. `batching_parameters.txt`, `monitoring.config`,
    `compose.yaml`, `kubernetes.yaml`, `kubernetes-gpu.yaml`, and `curl.md` with a line for each
    model that was exported with its sheet, and for what Classify and Regress ask of it.

    Args:
        directory: of the models, as `export` writes them.
        output: where to write. None: `deployment` in the directory.
        image: of TensorFlow Serving; for GPUs `-gpu` is put behind it.
        overwrite: whether a bundle that is there is replaced.

    Returns:
        `output`.

    Raises:
        FileNotFoundError: there are no models.
        FileExistsError: `output` is there, and not `overwrite`.
        ValueError: a name that a URL could not hold.
    """
    models = exported_models(directory)
    directory = pathlib.Path(directory).resolve()
    output = directory / "deployment" if output is None else pathlib.Path(output).resolve()
    if output.exists() and not overwrite:
        raise FileExistsError(
            f"A bundle is replaced with overwrite alone. Received: {output}, which exists"
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=".", suffix=".writing", dir=output.parent))
    try:
        for name, text in _files(models, os.path.relpath(directory, output), image).items():
            (temporary / name).write_text(text, "utf-8")
        temporary.chmod(0o755)
        if output.exists():
            shutil.rmtree(output)
        temporary.rename(output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return output


def _files(models: Sequence[Exported], place: str, image: str) -> dict[str, str]:
    memory = sum(model.size for model in models) * 2.5 / _GIGABYTE + 1
    values = {
        "name": "keras-lm",
        "first": models[0].name,
        "memory": f"{memory:.0f}Gi",
        "models": place,
    }
    compose, kubernetes = (
        string.Template((_TEMPLATES / name).read_text("utf-8"))
        for name in ("compose.yaml", "kubernetes.yaml")
    )
    gpu = ', nvidia.com/gpu: "1"'
    return {
        "models.config": models_config(models),
        "batching_parameters.txt": batching_parameters(models),
        "monitoring.config": (
            'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }\n'
        ),
        "compose.yaml": compose.substitute(values, image=image),
        "kubernetes.yaml": kubernetes.substitute(
            values, image=image, accelerator="", file="kubernetes.yaml"
        ),
        "kubernetes-gpu.yaml": kubernetes.substitute(
            values, image=f"{image}-gpu", accelerator=gpu, file="kubernetes-gpu.yaml"
        ),
        "curl.md": _curl(models),
    }


def models_config(models: Sequence[Exported]) -> str:
    """A `tensorflow.serving.ModelServerConfig` in text, the models below `/models`."""
    lines = ["model_config_list {"]
    for model in models:
        served = model.versions[-2:]
        labels = {"stable": served[0], **({"canary": served[1]} if len(served) > 1 else {})}
        lines += [
            "  config {",
            f'    name: "{model.name}"',
            f'    base_path: "/models/{model.name}"',
            '    model_platform: "tensorflow"',
            f"    model_version_policy {{ specific {{ {_repeated('versions', served)} }} }}",
            *(
                f'    version_labels {{ key: "{label}" value: {number} }}'
                for label, number in labels.items()
            ),
            "  }",
        ]
    return "\n".join([*lines, "}", ""])


def _repeated(name: str, numbers: Sequence[int]) -> str:
    return " ".join(f"{name}: {number}" for number in numbers)


def batching_parameters(models: Sequence[Exported]) -> str:
    """A `tensorflow.serving.BatchingParameters` in text.

    A server has one for all its models, so that of the one with the smallest batches holds. No
    `allowed_batch_sizes`: without XLA a row that only fills up a batch is work for nothing.
    """
    generates = any(model.generates for model in models)
    rows = _GENERATING_ROWS if generates else _ROWS
    timeout = _GENERATING_TIMEOUT_MICROS if generates else _TIMEOUT_MICROS
    why = "generation: a row waits for the longest beside it" if generates else "encoders"
    return "\n".join(
        [
            f"# For {why}. num_batch_threads is left to the server: its number of cores.",
            f"max_batch_size {{ value: {rows} }}",
            f"batch_timeout_micros {{ value: {timeout} }}",
            "max_enqueued_batches { value: 100 }",
            "# Rows of ids come with their lengths, so what pads them is never read.",
            "pad_variable_length_inputs: true",
            "",
        ]
    )


def _curl(models: Sequence[Exported]) -> str:
    lines = ["# A question to each model", ""]
    for model in models:
        asked = model.sheet.get("signatures", {})
        if "example" not in asked.get(_DEFAULT, {}):
            lines += [f"{model.name}: exported without a sheet, so there is no example.", ""]
            continue
        address = f"http://localhost:8501/v1/models/{model.name}/labels/stable"
        for name, entry in sorted(asked.items(), key=lambda item: item[0] != _DEFAULT):
            method = entry.get("method", "predict")
            if name == _DEFAULT or method != "predict":
                request = json.dumps(entry["example"]["request"], ensure_ascii=False)
                quoted = request.replace("'", "'\\''")
                lines += ["```", f"curl -d '{quoted}' {address}:{method}", "```", ""]
    return "\n".join(lines)
