"""What a server can be told."""

import dataclasses
import ipaddress
import pathlib
from collections.abc import Mapping, Sequence

from keras_lm.serving.server.batching_parameters import BatchingParameters
from keras_lm.serving.server.completions.engine_options import EngineOptions


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """How to serve.

    Attributes:
        directory: with models, `NAME/VERSION/`, or versions of one model. None: see `config`.
        config: a `models.config` of TensorFlow Serving. One of the two.
        host: an address to listen at. Others than this machine's own come in only where it is not
            loopback.
        port: of gRPC. 0: any that is free.
        rest_port: of REST. 0: any that is free.
        batching: how requests are joined.
        num_threads: of TensorFlow's, for the operations of one run. None: all cores.
        poll_seconds: how often to look for new versions.
        rest_seconds: the longest time for a REST answer. None: any time.
        completion_seconds: the same of a completion, which takes longer.
        engine: how completions of all clients are run together.
        aliases: names of models by other names that completions may ask for.
        backend: host and port of gRPC of a server that has more models. None: there is none.
        backend_models: their names.
        drain_seconds: how long requests under way may take once the server is told to end.
        max_body_bytes: of one request.
        max_total_bytes: of all requests under way.
        max_requests: under way.
        max_rows: of one request.
        token: a bearer token that every request must carry but those for health.
        tls_certificate: a file in PEM. None: no TLS.
        tls_key: its key.
        tls_client_authority: whose certificates clients must have. None: they need none.
        allow_unsafe: whether models may run Python functions or touch files.
        allow_reload_config: whether HandleReloadConfigRequest may choose among what the server was
            started with.
        log_requests: every request in the logs, not only the server's failures.

    Raises:
        ValueError: something is out of range or missing.
    """

    directory: pathlib.Path | None = None
    config: pathlib.Path | None = None
    host: str = "127.0.0.1"
    port: int = 8500
    rest_port: int = 8501
    batching: BatchingParameters = dataclasses.field(default_factory=BatchingParameters)
    num_threads: int | None = None
    poll_seconds: float = 1.0
    rest_seconds: float | None = 30.0
    completion_seconds: float | None = 600.0
    engine: EngineOptions = dataclasses.field(default_factory=EngineOptions)
    backend: str | None = None
    backend_models: Sequence[str] = ()
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)
    drain_seconds: float = 30.0
    max_body_bytes: int = 32 * 2**20
    max_total_bytes: int = 256 * 2**20
    max_requests: int = 4096
    max_rows: int = 1024
    token: str | None = None
    tls_certificate: pathlib.Path | None = None
    tls_key: pathlib.Path | None = None
    tls_client_authority: pathlib.Path | None = None
    allow_unsafe: bool = False
    allow_reload_config: bool = False
    log_requests: bool = False

    def __post_init__(self) -> None:
        if bool(self.backend) != bool(self.backend_models):
            raise ValueError(
                "A backend takes its address and the names of its models. "
                f"Received: {self.backend} and {list(self.backend_models)}"
            )
        has_none = self.directory is None and self.config is None
        if (self.directory is None) == (self.config is None) and not (has_none and self.backend):
            raise ValueError(
                "A server takes a directory of models or a models.config, one of the two. "
                f"Received: directory={self.directory}, config={self.config}"
            )
        for name in ("port", "rest_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise ValueError(f"{name} must be in 0 .. 65535. Received: {getattr(self, name)}")
        if self.port == self.rest_port != 0:
            raise ValueError(f"gRPC and REST need two ports. Received: {self.port} for both")
        for name in (
            "poll_seconds",
            "max_body_bytes",
            "max_total_bytes",
            "max_requests",
            "max_rows",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive. Received: {getattr(self, name)}")
        if self.num_threads is not None and self.num_threads < 1:
            raise ValueError(f"num_threads must be positive. Received: {self.num_threads}")
        for name in ("rest_seconds", "completion_seconds"):
            seconds = getattr(self, name)
            if seconds is not None and not seconds > 0:
                raise ValueError(f"{name} must be positive. Received: {seconds}")
        if not self.drain_seconds >= 0:
            raise ValueError(f"drain_seconds must not be negative. Received: {self.drain_seconds}")
        if self.token is not None and not self.token.strip():
            raise ValueError("A token must not be empty. Received: an empty one")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError(
                "TLS takes a certificate and its key. "
                f"Received: {self.tls_certificate} and {self.tls_key}"
            )
        if self.tls_client_authority is not None and self.tls_certificate is None:
            raise ValueError(
                "Certificates of clients can be asked for with TLS alone. "
                f"Received: {self.tls_client_authority} and no certificate"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether nobody outside of this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
