"""A server: models from disk, REST and gRPC on two ports, from its start to its end.

All of it runs in one event loop in a thread of its own, so that the process may do something else,
and a signal's handler may ask for the end.
"""

import asyncio
import contextlib
import logging
import pathlib
import socket
import ssl
import threading
import time
from typing import Any

import grpc
import uvicorn
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from keras_lm.serving.server import logs, model_config
from keras_lm.serving.server.application import application
from keras_lm.serving.server.batching import Batcher
from keras_lm.serving.server.bodies import Bodies
from keras_lm.serving.server.completions.backend import Backend
from keras_lm.serving.server.completions.embeddings import Embeddings
from keras_lm.serving.server.completions.engines import Engines
from keras_lm.serving.server.completions.metrics import GenerationMetrics
from keras_lm.serving.server.completions.models import Models
from keras_lm.serving.server.completions.routes import completion_routes
from keras_lm.serving.server.completions.service import Completions
from keras_lm.serving.server.completions.sources import Sources
from keras_lm.serving.server.grpc_services import MODEL, PREDICTION, GrpcServices
from keras_lm.serving.server.inference import Inference
from keras_lm.serving.server.metrics import Metrics
from keras_lm.serving.server.model_config import ModelConfig
from keras_lm.serving.server.options import ServerOptions
from keras_lm.serving.server.repository import Repository
from keras_lm.serving.server.rest import Rest
from keras_lm.serving.server.servable import Servable
from keras_lm.serving.server.statuses import Code, ServingError, invalid
from keras_lm.serving.server.traffic import Traffic
from keras_lm.serving.server.warmup import warm_up

_HEALTH_SECONDS = 0.2
# Longer than proxies keep a connection that nobody uses.
_KEEP_ALIVE_SECONDS = 75


class ModelServer:
    """Serves models until it is stopped.

    Args:
        options: how.

    Attributes:
        port: of gRPC, once it has started.
        rest_port: of REST.
        repository: its models.
        engines: what continues texts.
        traffic: its requests.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._logger = logging.getLogger(logs.LOGGER)
        self.metrics = Metrics()
        self.port, self.rest_port = 0, 0
        self._chosen: list[ModelConfig] | None = None
        self._draining = False
        self.traffic = Traffic(
            options.max_requests,
            options.max_total_bytes,
            self.metrics,
            self._logger,
            options.log_requests,
        )
        self._batcher = Batcher(options.batching, self.metrics)
        self.repository = Repository(
            self._configs, self._load, self._forget, self.metrics, self._logger
        )
        self.engines = Engines(
            options.engine, GenerationMetrics(self.metrics.registry), self._logger
        )
        # Those of another server are asked for when they are.
        self._has_no_models = options.directory is None and options.config is None
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._main, name="server", daemon=True)

    def start(self) -> None:
        """Loads the models and opens the ports; returns when requests can come.

        Raises:
            ValueError, OSError: the models cannot be found or the ports not be opened.
        """
        try:
            self.repository.refresh()
            self.repository.watch(self._options.poll_seconds)
            self._thread.start()
            self._started.wait()
            if self._failure is not None:
                raise self._failure
        except BaseException:
            self.engines.stop()
            self._batcher.stop()
            self.repository.close(0.0)
            raise
        if not self.repository.names() and not self._has_no_models:
            where = self._options.directory or self._options.config
            self._logger.warning("no models yet", extra={"where": str(where)})
        if not self._options.is_loopback and self._options.token is None:
            self._logger.warning(
                "everybody who reaches the ports may ask", extra={"host": self._options.host}
            )
        self._logger.info(
            "listening",
            extra={
                "host": self._options.host,
                "grpc_port": self.port,
                "rest_port": self.rest_port,
                "models": self.repository.names(),
            },
        )

    def stop(self) -> None:
        """Takes nothing more, answers what is under way, and frees all."""
        self._draining = True
        if self._loop is not None and self._end is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join()
        self.engines.stop()
        self._batcher.stop()
        self.repository.close(5.0)
        self._logger.info(
            "stopped",
            extra={"accepted": self.traffic.accepted, "answered": self.traffic.answered},
        )

    def is_running(self) -> bool:
        """Whether it still takes requests."""
        return self._thread.is_alive()

    def is_ready(self) -> bool:
        """Whether it should be sent requests."""
        return not self._draining and (self.repository.is_ready() or self._has_no_models)

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
            if self._started.is_set():
                self._logger.error("the server ended", extra={"error": str(error)}, exc_info=error)
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        options = self._options
        inference = Inference(self._batcher, options.max_rows, self._logger)
        bodies = Bodies(options.max_body_bytes, self.traffic)
        models = Models(self.repository, options.aliases, int(time.time()), options.backend_models)
        rest = Rest(
            self.repository,
            inference,
            self.traffic,
            bodies,
            options.token,
            options.rest_seconds,
            models,
        )
        shared = (self.traffic, bodies, options.token)
        backend = None
        if options.backend is not None:
            backend = Backend(options.backend, options.engine).source
        sources = Sources(models, self.engines, inference, backend)
        completions = Completions(sources, *shared, options.completion_seconds)
        embeddings = Embeddings(models, inference, *shared, options.rest_seconds)
        routes = completion_routes(completions, embeddings, models, options.token)
        listening = _listen(options.host, options.rest_port)
        self.rest_port = listening.getsockname()[1]
        web = uvicorn.Server(self._web_config(application(rest, self, options.token, routes)))
        services = GrpcServices(
            self.repository, inference, self.traffic, options.token, self._reload
        )
        rpc = grpc.aio.server(
            options=(
                ("grpc.max_receive_message_length", options.max_body_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
            ),
            maximum_concurrent_rpcs=options.max_requests,
        )
        services.add_to(rpc)
        healths = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(healths, rpc)
        try:
            self.port = self._open(rpc)
        except RuntimeError as error:
            listening.close()
            raise OSError(f"Port {options.port} of {options.host} cannot be opened") from error
        await rpc.start()
        serving = asyncio.ensure_future(web.serve(sockets=[listening]))
        while not web.started and not serving.done():
            await asyncio.sleep(0.005)
        watching = asyncio.ensure_future(self._tell_health(healths))
        await self._tell_once(healths)
        self._started.set()
        await asyncio.wait(
            (serving, asyncio.ensure_future(self._end.wait())),
            return_when=asyncio.FIRST_COMPLETED,
        )
        self._draining = True
        watching.cancel()
        await healths.enter_graceful_shutdown()
        web.should_exit = True
        await asyncio.gather(serving, rpc.stop(options.drain_seconds))

    def _web_config(self, app: Any) -> uvicorn.Config:
        options = self._options
        tls: dict[str, Any] = {}
        if options.tls_certificate is not None:
            tls = {
                "ssl_certfile": str(options.tls_certificate),
                "ssl_keyfile": str(options.tls_key),
            }
        if options.tls_client_authority is not None:
            tls["ssl_ca_certs"] = str(options.tls_client_authority)
            tls["ssl_cert_reqs"] = ssl.CERT_REQUIRED
        return uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=options.max_requests,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=max(1, round(options.drain_seconds)),
            **tls,
        )

    def _open(self, rpc: grpc.aio.Server) -> int:
        options = self._options
        host = f"[{options.host}]" if ":" in options.host else options.host
        address = f"{host}:{options.port}"
        if options.tls_certificate is None or options.tls_key is None:
            return rpc.add_insecure_port(address)
        authority = options.tls_client_authority
        credentials = grpc.ssl_server_credentials(
            [(options.tls_key.read_bytes(), options.tls_certificate.read_bytes())],
            None if authority is None else authority.read_bytes(),
            authority is not None,
        )
        return rpc.add_secure_port(address, credentials)

    async def _tell_health(self, healths: health.aio.HealthServicer) -> None:
        while True:
            await self._tell_once(healths)
            await asyncio.sleep(_HEALTH_SECONDS)

    async def _tell_once(self, healths: health.aio.HealthServicer) -> None:
        states = health_pb2.HealthCheckResponse
        state = states.SERVING if self.is_ready() else states.NOT_SERVING
        for service in ("", PREDICTION, MODEL):
            await healths.set(service, state)

    def _configs(self) -> list[ModelConfig]:
        return self._offered() if self._chosen is None else self._chosen

    def _offered(self) -> list[ModelConfig]:
        if self._options.config is not None:
            return model_config.read(self._options.config)
        if self._options.directory is None:
            return []
        return model_config.in_directory(self._options.directory)

    def _load(self, name: str, version: int, path: pathlib.Path) -> Servable:
        options = self._options
        servable = Servable(
            name,
            version,
            path,
            num_threads=options.num_threads,
            allow_unsafe=options.allow_unsafe,
        )
        try:
            started = time.monotonic()
            count = warm_up(servable)
            self.engines.warm_up(servable)
        except BaseException:
            servable.close_when_unused()
            raise
        if count:
            self._logger.info(
                "warmed up",
                extra={
                    "model": name,
                    "version": version,
                    "requests": count,
                    "seconds": round(time.monotonic() - started, 3),
                },
            )
        return servable

    def _forget(self, servable: Servable) -> None:
        self.engines.forget(servable)
        self._batcher.forget(servable)

    async def _reload(self, messages: list[Any]) -> None:
        """Serves those of the server's own models that a request names, as it wishes."""
        if not self._options.allow_reload_config:
            raise ServingError(
                Code.PERMISSION_DENIED, "The server was not started to take configurations"
            )
        try:
            wished = model_config.from_messages(messages, pathlib.Path("/"))
        except ValueError as error:
            raise invalid(str(error)) from None
        offered = {config.directory: config for config in self._offered()}
        chosen = []
        for config in wished:
            # The request's path is compared and never opened.
            if config.directory not in offered:
                raise ServingError(
                    Code.PERMISSION_DENIED,
                    f"The base_path of model {config.name} must be one that the server was "
                    "started with",
                )
            chosen.append(config)
        self._chosen = chosen
        await asyncio.to_thread(self.repository.refresh)
        for config in chosen:
            if not self.repository.answers(config.name):
                raise ServingError(
                    Code.UNKNOWN, f"Model {config.name} has no version that could be loaded"
                )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise OSError(f"Port {port} of {host} cannot be opened: {error.strerror}") from error
    listening.setblocking(False)
    return listening
