"""Bodies: the records of one request."""

from __future__ import annotations

from typing import Any

import msgspec

from rsq_pipe.connectors.jsonl.json_object import UNREADABLE, parse
from rsq_pipe.connectors.wording import wording

MAX_RECORDS = 1_000
"""Maximum number of records of a request; they are stored together."""

_NDJSON = frozenset(("application/x-ndjson", "application/jsonl", "application/jsonlines"))


def records_in(body: bytes, content_type: str) -> list[dict[str, Any]]:
    """
    Parse a JSON object, an array of objects, or one object per line.

    Raises:
        ValueError: It is none of these, or one of its records is not an object: nothing of it is accepted.
    """
    if content_type in _NDJSON:
        parts = [(f"line {at}: ", line) for at, line in enumerate(body.splitlines(), 1) if line.strip()]
    elif body.lstrip()[:1] == b"[":
        try:
            items = msgspec.json.decode(body, type=list[msgspec.Raw])
        except UNREADABLE as exc:
            raise ValueError(wording(exc)) from exc
        parts = [(f"item {at}: ", bytes(item)) for at, item in enumerate(items)]
    else:
        parts = [("", body)]
    if len(parts) > MAX_RECORDS:
        raise ValueError(f"it has {len(parts):,} records; the bound is {MAX_RECORDS:,}")
    return [_record(where, part) for where, part in parts]


def _record(where: str, part: bytes) -> dict[str, Any]:
    try:
        return parse(part)
    except UNREADABLE as exc:
        raise ValueError(f"{where}{wording(exc)}") from exc
