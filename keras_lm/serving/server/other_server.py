"""TensorFlow Serving's own server, started in place of this one where it is installed.

`tensorflow_model_server` always listens at all addresses and knows no token: it is started only
where that was asked for.
"""

import logging
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from keras_lm.serving.server import logs, model_config
from keras_lm.serving.server.options import ServerOptions
from keras_lm.serving.server.signals import told_to_end

PROGRAM = "tensorflow_model_server"
ENGINES = ("auto", "python", PROGRAM)
_EVERYWHERE = ("0.0.0.0", "::")


def choose(engine: str, options: ServerOptions, op_libraries: Sequence[pathlib.Path]) -> str | None:
    """The program to start, or None for this package's server.

    Args:
        engine: one of `ENGINES`. `"auto"`: the program, where it is on the PATH and can do what is
            asked.
        options: what is asked.
        op_libraries: operations that it would not have.

    Raises:
        ValueError: the program was asked for, and is not there or cannot do what is asked.
    """
    if engine == "python":
        return None
    path = shutil.which(PROGRAM)
    reasons = []
    if path is None:
        reasons.append("it is not on the PATH")
    if options.host not in _EVERYWHERE:
        reasons.append(f"it listens at all addresses, not at {options.host} alone")
    if options.token is not None:
        reasons.append("it knows no token")
    if options.tls_certificate is not None:
        reasons.append("it has TLS on one of its ports alone")
    if options.aliases or options.backend is not None:
        reasons.append("it knows no completions")
    if op_libraries:
        reasons.append("it loads no operations")
    if 0 in (options.port, options.rest_port):
        reasons.append("it chooses no ports")
    if not reasons:
        return path
    if engine == PROGRAM:
        raise ValueError(f"{PROGRAM} must be able to do what is asked. Received: {reasons[0]}")
    if path is not None:
        logging.getLogger(logs.LOGGER).info(
            "not started", extra={"program": PROGRAM, "reason": "; ".join(reasons)}
        )
    return None


def arguments(options: ServerOptions, directory: pathlib.Path) -> list[str]:
    """The program's arguments; writes the files that they name into a directory."""
    config = options.config
    if config is None:
        config = directory / "models.config"
        config.write_text(_models(options), encoding="utf-8")
    monitoring = directory / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }\n", encoding="utf-8")
    found = [
        f"--port={options.port}",
        f"--rest_api_port={options.rest_port}",
        f"--model_config_file={config}",
        f"--model_config_file_poll_wait_seconds={max(1, round(options.poll_seconds))}",
        f"--file_system_poll_wait_seconds={max(1, round(options.poll_seconds))}",
        f"--monitoring_config_file={monitoring}",
        "--enable_grpc_healthcheck_service=true",
        "--allow_version_labels_for_unavailable_models=true",
    ]
    if options.rest_seconds is not None:
        found.append(f"--rest_api_timeout_in_ms={round(options.rest_seconds * 1000)}")
    if options.num_threads is not None:
        found.append(f"--tensorflow_intra_op_parallelism={options.num_threads}")
    if options.batching.max_batch_size > 1:
        batching = directory / "batching_parameters.txt"
        batching.write_text(_batching(options), encoding="utf-8")
        found += ["--enable_batching=true", f"--batching_parameters_file={batching}"]
    return found


def run(program: str, options: ServerOptions) -> int:
    """Runs the program until it ends; signals go to it.

    Returns:
        Its exit status; 0 where it ended as it was told.
    """
    with tempfile.TemporaryDirectory(prefix="keras-lm-serve-") as directory:
        words = [program, *arguments(options, pathlib.Path(directory))]
        logging.getLogger(logs.LOGGER).info("starting", extra={"command": words})
        process = subprocess.Popen(words)
        told = []

        def hand_on(number: int) -> None:
            told.append(number)
            process.send_signal(number)

        with told_to_end(hand_on):
            status = process.wait()
    return 0 if told else status


def _models(options: ServerOptions) -> str:
    assert options.directory is not None
    message = model_server_config_pb2.ModelServerConfig()
    for config in model_config.in_directory(options.directory):
        message.model_config_list.config.add(
            name=config.name, base_path=os.fspath(config.directory), model_platform="tensorflow"
        )
    return text_format.MessageToString(message)


def _batching(options: ServerOptions) -> str:
    batching = options.batching
    names = (
        "max_batch_size",
        "batch_timeout_micros",
        "max_enqueued_batches",
        "num_batch_threads",
    )
    lines = [f"{name} {{ value: {getattr(batching, name)} }}" for name in names]
    lines += [f"allowed_batch_sizes: {size}" for size in batching.allowed_batch_sizes]
    return "\n".join(lines) + "\n"
