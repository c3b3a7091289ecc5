"""Which path of OpenAI's interface leads where."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from keras_lm.serving.server import bearer_token
from keras_lm.serving.server.completions.embeddings import Embeddings
from keras_lm.serving.server.completions.errors import as_bytes, error_of
from keras_lm.serving.server.completions.models import Models
from keras_lm.serving.server.completions.service import Completions
from keras_lm.serving.server.statuses import ServingError


def completion_routes(
    completions: Completions, embeddings: Embeddings, models: Models, token: str | None
) -> list[BaseRoute]:
    """The routes.

    Args:
        completions: answers completions.
        embeddings: answers embeddings.
        models: are listed.
        token: what a request for the list must carry. None: nothing.

    Returns:
        Routes; those of a single model are TensorFlow Serving's, see
        `keras_lm.serving.server.rest`.
    """

    async def listed(request: Request) -> Response:
        def answer(status: int, document: Any, headers: dict[str, str] | None = None) -> Response:
            return Response(as_bytes(document), status, headers, media_type="application/json")

        try:
            bearer_token.check(token, request.headers.get("authorization"))
        except ServingError as error:
            status, headers, document = error_of(error)
            return answer(status, document, headers)
        return answer(200, {"object": "list", "data": models.listed()})

    posts: dict[str, Any] = {
        "/v1/completions": completions,
        "/v1/embeddings": embeddings,
        # Names of models stood in the path before they stood in the body.
        "/v1/engines/{name}/completions": completions,
        "/v1/engines/{name}/embeddings": embeddings,
    }
    return [
        *(Route(path, endpoint, methods=["POST"]) for path, endpoint in posts.items()),
        Route("/v1/models", listed, methods=["GET"]),
        Route("/v1/engines", listed, methods=["GET"]),
    ]
