"""What a browser and tools are shown: the page at `/`, the interface at `/openapi.json`.

The page is one file that asks the REST interface as every client does. It may load nothing: its
own style and script are known by their hashes, and all else is forbidden (Content Security Policy,
W3C, level 3).
"""

import base64
import hashlib
import pathlib
import re
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from keras_lm.serving.server import bearer_token, openapi
from keras_lm.serving.server.statuses import ServingError

_PAGE = pathlib.Path(__file__).parents[1] / "templates" / "page.html"


def routes(models: Callable[[], list[str]], token: str | None) -> list[Route]:
    """The paths of this file.

    Args:
        models: gives the names of those that are served.
        token: what whoever asks for them must carry. None: nothing. The page itself says nothing of
            them, so it is shown to everybody.
    """
    text = _PAGE.read_text("utf-8")
    headers = {
        "Content-Security-Policy": _policy(text),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",
    }

    async def page(request: Request) -> Response:
        return HTMLResponse(text, headers=headers)

    def with_token(answer: Callable[[], object]) -> Callable:
        async def respond(request: Request) -> Response:
            try:
                bearer_token.check(token, request.headers.get("authorization"))
            except ServingError as error:
                told = {"WWW-Authenticate": "Bearer"}
                return JSONResponse({"error": error.message}, 401, headers=told)
            return JSONResponse(answer())

        return respond

    return [
        Route("/", page),
        Route("/models.json", with_token(lambda: {"models": models()})),
        Route("/openapi.json", with_token(lambda: openapi.document(models()))),
    ]


def _policy(text: str) -> str:
    def hashes(tag: str) -> str:
        parts = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digests = (hashlib.sha256(part.encode()).digest() for part in parts)
        return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
