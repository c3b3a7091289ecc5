"""How long one REST request may take."""

from starlette.requests import Request

from keras_lm.serving.server.statuses import invalid


def seconds_of(request: Request, most: float | None) -> float | None:
    """What the header `X-Request-Timeout` asks for, within what the server allows.

    Args:
        request: whose headers are looked at.
        most: the longest time. None: any time.

    Raises:
        ServingError: the header is no positive number.
    """
    asked = request.headers.get("x-request-timeout")
    if asked is None:
        return most
    try:
        seconds = float(asked)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise invalid(f"X-Request-Timeout must be a positive number of seconds. Received: {asked}")
    return seconds if most is None else min(seconds, most)
