"""Serve SavedModels over TensorFlow Serving's own REST and gRPC."""

import argparse
import dataclasses
import os
import pathlib
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_lm.serving.server import BatchingParameters, ServerOptions

_TOKEN = "KERAS_LM_TOKEN"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add = parser.add_argument
    add(
        "directory",
        nargs="?",
        type=pathlib.Path,
        help="where models are, NAME/VERSION/, e.g. saved_models/",
    )
    add("--config", type=pathlib.Path, help="a models.config of TensorFlow Serving instead")
    add("--host", default="127.0.0.1", help="where to listen; default: this machine alone")
    add("--port", type=int, default=8500, help="of gRPC; 0: any that is free")
    add("--rest-port", type=int, default=8501, help="of REST; 0: any that is free")
    add(
        "--engine",
        choices=("auto", "python", "tensorflow_model_server"),
        default="auto",
        help="auto: tensorflow_model_server, where it is on the PATH and can do what is asked",
    )
    batches = parser.add_argument_group("batches")
    add = batches.add_argument
    add("--no-batching", action="store_true", help="never join the rows of several requests")
    add("--batching-parameters", type=pathlib.Path, help="a batching_parameters.txt")
    add("--max-batch-size", type=int, help="rows that are run together")
    add("--batch-timeout-micros", type=int, help="how long a request may wait for others")
    add("--max-enqueued-batches", type=int, help="of each signature; more are refused")
    add("--num-batch-threads", type=int, help="batches that run at the same time")
    add("--threads", type=int, help="threads of TensorFlow's for one run; default: all cores")
    completions = parser.add_argument_group("completions, as OpenAI has them")
    add = completions.add_argument
    add(
        "--alias",
        action="append",
        default=[],
        metavar="NAME=MODEL",
        help="another name for a model, e.g. text-davinci-003=gpt; may be given again",
    )
    add("--backend", metavar="HOST:PORT", help="gRPC of a TensorFlow Serving with more models")
    add(
        "--backend-model",
        action="append",
        default=[],
        metavar="NAME",
        help="one of its models; may be given again",
    )
    add("--slots", type=int, default=8, help="texts that are continued together; 0: none are")
    add("--max-waiting", type=int, default=64, help="texts that may wait for a slot")
    add("--tokens-per-chunk", type=int, default=4, help="before others may join or leave")
    add(
        "--completion-timeout",
        type=float,
        default=600.0,
        help="seconds for a completion; 0: any time",
    )
    limits = parser.add_argument_group("limits")
    add = limits.add_argument
    add("--rest-timeout", type=float, default=30.0, help="seconds for a REST answer; 0: any time")
    add("--drain-seconds", type=float, default=30.0, help="for requests under way at the end")
    add("--max-body-bytes", type=int, default=32 * 2**20, help="of one request")
    add("--max-requests", type=int, default=4096, help="under way")
    add("--max-rows", type=int, default=1024, help="of one request")
    models = parser.add_argument_group("models")
    add = models.add_argument
    add("--poll-seconds", type=float, default=1.0, help="how often to look for new versions")
    add(
        "--op-library",
        action="append",
        default=[],
        type=pathlib.Path,
        help="a library with operations that models may have; may be given again",
    )
    add(
        "--allow-unsafe-operations",
        action="store_true",
        help="serve models that run Python functions or touch files",
    )
    add(
        "--allow-reload-config",
        action="store_true",
        help="let HandleReloadConfigRequest choose among the models",
    )
    doors = parser.add_argument_group("who may ask")
    add = doors.add_argument
    add(
        "--token-file",
        type=pathlib.Path,
        help=f"with a bearer token that requests must carry; or the variable {_TOKEN}",
    )
    add("--tls-certificate", type=pathlib.Path, help="in PEM; with --tls-key")
    add("--tls-key", type=pathlib.Path)
    add("--tls-client-ca", type=pathlib.Path, help="whose certificates clients must have")
    add = parser.add_argument
    add("--log-requests", action="store_true", help="every request in the logs")


def run(options: argparse.Namespace) -> int:
    """Serves until SIGTERM or SIGINT; then answers what is under way."""
    try:
        # TensorFlow takes seconds to import; the rest is the extra "serve".
        import tensorflow as tf

        from keras_lm.serving.server import ModelServer, logs, other_server
        from keras_lm.serving.server.signals import told_to_end
    except ImportError as error:
        raise ValueError(
            f"A server needs: pip install 'keras_lm[serve]'. Received: {error}"
        ) from error
    found = _server_options(options)
    logs.write()
    program = other_server.choose(options.engine, found, options.op_library)
    if program is not None:
        return other_server.run(program, found)
    for library in options.op_library:
        try:
            tf.load_op_library(str(library))
        except tf.errors.NotFoundError as error:
            raise ValueError(
                f"An operation library must be one of TensorFlow {tf.__version__}. "
                f"Received: {library}: {error.message}"
            ) from error
    ending = threading.Event()
    with told_to_end(lambda number: ending.set()):
        server = ModelServer(found)
        server.start()
        while not ending.wait(1.0):
            if not server.is_running():
                return 1
        server.stop()
    return 0


def _server_options(options: argparse.Namespace) -> "ServerOptions":
    from keras_lm.serving.server import EngineOptions, ServerOptions

    return ServerOptions(
        directory=options.directory,
        config=options.config,
        host=options.host,
        port=options.port,
        rest_port=options.rest_port,
        batching=_batching(options),
        num_threads=options.threads,
        poll_seconds=options.poll_seconds,
        rest_seconds=options.rest_timeout or None,
        completion_seconds=options.completion_timeout or None,
        engine=EngineOptions(options.slots, options.max_waiting, options.tokens_per_chunk),
        aliases=_aliases(options.alias),
        backend=options.backend,
        backend_models=tuple(options.backend_model),
        drain_seconds=options.drain_seconds,
        max_body_bytes=options.max_body_bytes,
        max_requests=options.max_requests,
        max_rows=options.max_rows,
        token=_token(options.token_file),
        tls_certificate=options.tls_certificate,
        tls_key=options.tls_key,
        tls_client_authority=options.tls_client_ca,
        allow_unsafe=options.allow_unsafe_operations,
        allow_reload_config=options.allow_reload_config,
        log_requests=options.log_requests,
    )


def _aliases(given: list[str]) -> dict[str, str]:
    found = {}
    for pair in given:
        alias, equals, name = pair.partition("=")
        if not (alias and equals and name) or alias in found:
            raise ValueError(f"An alias must be NAME=MODEL, each name once. Received: {pair}")
        found[alias] = name
    return found


def _batching(options: argparse.Namespace) -> "BatchingParameters":
    from keras_lm.serving.server import BatchingParameters, batching_parameters

    found = BatchingParameters()
    if options.batching_parameters is not None:
        found, ignored = batching_parameters.read(options.batching_parameters)
        if ignored:
            print(
                f"keras-lm: not followed of {options.batching_parameters}: {', '.join(ignored)}",
                file=sys.stderr,
            )
    said = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(BatchingParameters)
        if getattr(options, field.name, None) is not None
    }
    if options.no_batching:
        # As many rows may wait as in batches.
        rows = dataclasses.replace(found, **said).capacity
        said.update(max_batch_size=1, max_enqueued_batches=rows, allowed_batch_sizes=())
    return dataclasses.replace(found, **said)


def _token(path: pathlib.Path | None) -> str | None:
    if path is not None:
        return path.read_text(encoding="utf-8").strip()
    return os.environ.get(_TOKEN)
