"""Envelope: what `rid()` and `header()` return, which stands beside the current record and not in it."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from rsq_pipe.streams.headers import RID

READERS = frozenset(["rid", "header"])
"""The functions that read it. Only verbs that set it for each record may use them."""

HEADERS: ContextVar[Mapping[str, str] | None] = ContextVar("headers", default=None)
"""Headers of the current record, its id included; None if there is no current record."""


def rid() -> str | None:
    """Return the record's id, such as `read:orders.jsonl:17`, which begins with the source and its file."""
    return (HEADERS.get() or {}).get(RID)


def header(name: str, default: Any = None) -> Any:
    """Return a header, such as `'rsq-dlq-error'` of a dead letter; if missing, null or a default."""
    return (HEADERS.get() or {}).get(name, default)
