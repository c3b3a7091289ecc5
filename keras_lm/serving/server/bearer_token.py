"""The bearer token that requests must carry, where there is one."""

import hmac

from keras_lm.serving.server.statuses import Code, ServingError


def check(token: str | None, authorization: str | None) -> None:
    """Raises unless a request may come in.

    Args:
        token: what the server was started with. None: everybody may.
        authorization: the request's header of that name.

    Raises:
        ServingError: the token is not there, or another one.
    """
    if token is None:
        return
    kind, _, given = (authorization or "").partition(" ")
    # Compared in a time that says nothing of where they differ.
    if kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode()):
        return
    raise ServingError(Code.UNAUTHENTICATED, "A request must carry the server's bearer token")
