"""Quiet: the web server's log, without a traceback for each request that cannot be read."""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError

from rsq_pipe.error_text import one_line


def quiet_logger() -> logging.Logger:
    """Return a logger for the web server."""
    logger = logging.getLogger("rsq_pipe.webhook")
    logger.addFilter(_shorten)  # once, however often it is added
    return logger


def unreadable(exc: BaseException) -> str:
    """Return why a request cannot be read."""
    return one_line(exc).removeprefix("400, message: ")


def _shorten(record: logging.LogRecord) -> bool:
    """Replace the traceback of what a client has sent by one line."""
    exc = record.exc_info[1] if record.exc_info else None
    if isinstance(exc, HttpProcessingError | RequestPayloadError):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args = "a request cannot be read, and is refused: %s", (unreadable(exc),)
        record.exc_info = None
    return True
