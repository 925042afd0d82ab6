"""Quiet: imports dlt so that it sends no telemetry and does not write into our output."""

from __future__ import annotations

import os
from types import ModuleType

from rsq_pipe.error_text import full_text

# Unless the user has switched it on. Here, because a user's module may import dlt first.
os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")


def dlt() -> ModuleType:
    """Import dlt."""
    import dlt as library  # noqa: PLC0415  an extra, and a second to load

    return library


def root_message(exc: BaseException) -> str:
    """Return an error's message as one line; dlt wraps it in texts of its own."""
    while (inner := exc.__cause__ or getattr(exc, "inner_exc", None)) is not None:
        exc = inner
    return " ".join(full_text(exc).split())[:1000]
