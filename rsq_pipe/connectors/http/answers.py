"""Answers: the meaning of a status, a Retry-After and a body."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

MAX_SHOWN = 1_000
"""Maximum characters of an answer's body that a message quotes."""

LONGEST_WAIT = 3_600.0
"""Maximum seconds for which a service is left alone, even if it asks for more."""

LOGIN = frozenset((401, 403, 407))
"""Statuses that mean the credentials are wrong."""

GATEWAY = frozenset((502, 503, 504))
"""Statuses that a gateway also answers while one of the servers behind it fails."""

_LATER = GATEWAY | {408, 425, 429}


def is_transient(status: int) -> bool:
    """Return whether an answer only says that the service cannot serve now, and nothing about the request."""
    return status in _LATER


def retry_after(headers: Mapping[str, str]) -> float:
    """Return how many seconds a service asks to be left alone; 0 if it asks for none."""
    text = headers.get("Retry-After", "").strip()
    if not text:
        return 0.0
    try:
        seconds = float(text) if text.isascii() and text.isdigit() else _until(text)
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT)


def cut(body: bytes) -> str:
    """Return the beginning of a body as one line."""
    text = " ".join(body[: 4 * MAX_SHOWN].decode("utf-8", "replace").split())
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}..."


def _until(text: str) -> float:
    return parsedate_to_datetime(text).timestamp() - time.time()
