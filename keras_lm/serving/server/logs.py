"""Logs of the server: a JSON object on each line."""

import datetime
import json
import logging
import sys
from typing import TextIO

LOGGER = "keras_lm.serving.server"
# What every record has; all else was given as `extra`.
_USUAL = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class JsonLines(logging.Formatter):
    """Writes a record as one line: time, level, logger, event and what was given beside it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        found = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        for name, value in vars(record).items():
            if name not in _USUAL and value is not None:
                found[name] = value
        if record.exc_info:
            found["traceback"] = self.formatException(record.exc_info)
        return json.dumps(found, ensure_ascii=False, default=str)


class _Stderr(logging.StreamHandler):
    """Writes to what is standard error at the time."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def write() -> None:
    """Sends the logs of the server and of the libraries under it to standard error."""
    handler = _Stderr()
    handler.setFormatter(JsonLines())
    for name, level in (
        (LOGGER, logging.INFO),
        ("uvicorn", logging.WARNING),
        ("grpc", logging.ERROR),
    ):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
