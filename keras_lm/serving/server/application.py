"""The web application: which path leads where.

Below `/v1/` is TensorFlow Serving's REST; beside it what operators need.
"""

from collections.abc import Sequence
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from keras_lm.serving.server import bearer_token, pages
from keras_lm.serving.server.metrics import Metrics
from keras_lm.serving.server.repository import Repository
from keras_lm.serving.server.rest import Rest
from keras_lm.serving.server.statuses import ServingError

METRICS_PATH = "/monitoring/prometheus/metrics"


class Served(Protocol):
    """What operators ask of a server."""

    metrics: Metrics
    repository: Repository

    def is_ready(self) -> bool:
        """Whether it should be sent requests."""


def application(
    rest: Rest, server: Served, token: str | None, others: Sequence[BaseRoute] = ()
) -> Starlette:
    """The application.

    Args:
        rest: answers below `/v1/`.
        server: is asked for health and metrics.
        token: what a request for metrics must carry. None: nothing. Health is told to everybody.
        others: routes that come before those of TensorFlow Serving.

    Returns:
        An ASGI application.
    """

    async def alive(request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def ready(request: Request) -> Response:
        if server.is_ready():
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready"}, 503)

    async def metrics(request: Request) -> Response:
        try:
            bearer_token.check(token, request.headers.get("authorization"))
        except ServingError as error:
            return JSONResponse(
                {"error": error.message}, 401, headers={"WWW-Authenticate": "Bearer"}
            )
        return Response(server.metrics.page(), media_type="text/plain")

    async def missing(request: Request, error: Exception) -> Response:
        # Also paths below /v1/ with a line's end in them, which routes do not take.
        return JSONResponse({"error": "There is nothing at this path"}, 404)

    return Starlette(
        exception_handlers={404: missing},
        routes=[
            *others,
            # Paths of TensorFlow Serving may be written in capitals.
            Route("/v1/{path:path}", rest),
            Route("/V1/{path:path}", rest),
            Route("/healthz", alive),
            Route("/readyz", ready),
            Route(METRICS_PATH, metrics),
            *pages.routes(server.repository.names, token),
        ],
    )
