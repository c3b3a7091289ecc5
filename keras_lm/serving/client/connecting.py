"""From an address, a token and certificates to what carries requests.

gRPC is imported when it is asked for: its stubs import TensorFlow.
"""

import os
import pathlib
import ssl
import urllib.parse

from keras_lm.serving.client.http_transport import HttpTransport
from keras_lm.serving.client.transport import Transport

Files = tuple[str | os.PathLike, str | os.PathLike]  # a certificate, and its key

_SCHEMES = ("grpc", "grpcs", "http", "https")


def transport_for(
    url: str,
    token: str | None,
    ca: str | os.PathLike | None,
    certificate: Files | None,
) -> Transport:
    """What carries the requests of a client.

    Args:
        url: as of `Client`, and so are the others.
        token: as of `Client`.
        ca: as of `Client`.
        certificate: as of `Client`.

    Raises:
        ValueError: it is no such address, or a file is not what it should be.
        ImportError: gRPC is asked for and cannot be imported.
    """
    parts = urllib.parse.urlsplit(url)
    is_grpc, is_tls = parts.scheme.startswith("grpc"), parts.scheme in ("grpcs", "https")
    path = parts.path.rstrip("/")
    if (
        parts.scheme not in _SCHEMES
        or not parts.hostname
        or parts.query
        or parts.fragment
        or (is_grpc and (path or ":" not in parts.netloc.rpartition("]")[2]))
    ):
        raise ValueError(
            "A server is grpc://host:port, grpcs://host:port, http://host:port or "
            f"https://host:port. Received: {url!r}"
        )
    if not is_tls and (ca is not None or certificate is not None):
        raise ValueError(f"ca and certificate are for https and grpcs. Received: {url!r}")
    if not is_grpc:
        return HttpTransport(
            f"{parts.scheme}://{parts.netloc}{path}",
            token,
            _context(ca, certificate) if is_tls else None,
        )
    try:
        import grpc

        from keras_lm.serving.client.grpc_transport import GrpcTransport
    except ImportError as error:
        raise ImportError(
            f"gRPC needs: pip install 'keras_lm[serve]'. Received: {error}"
        ) from error
    credentials = None
    if is_tls:
        own, key = (None, None) if certificate is None else map(_bytes, certificate)
        authority = None if ca is None else _bytes(ca)
        credentials = grpc.ssl_channel_credentials(authority, key, own)
    return GrpcTransport(parts.netloc, token, credentials)


def _context(
    ca: str | os.PathLike | None,
    certificate: Files | None,
) -> ssl.SSLContext:
    try:
        found = ssl.create_default_context(cafile=None if ca is None else os.fspath(ca))
        if certificate is not None:
            found.load_cert_chain(os.fspath(certificate[0]), os.fspath(certificate[1]))
    except (ssl.SSLError, OSError) as error:
        raise ValueError(
            f"ca and certificate must be files in PEM. Received: {ca}, {certificate}: {error}"
        ) from error
    return found


def _bytes(path: str | os.PathLike) -> bytes:
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"A file in PEM must be readable. Received: {path}: {error}") from error
