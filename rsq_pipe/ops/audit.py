"""Audit: who did what to a pipeline from the page, and when; the last thousand of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.streams.client import StreamClient

KEPT = 1_000
"""Entries of one pipeline that are kept."""

_NOTE = "note"


async def note(client: StreamClient, pipeline: str, **said: Any) -> str:
    """
    Note an action; return what names it.

    Redis: XADD MAXLEN.
    """
    key = Keyspace(pipeline).audit
    entry = await client.channel.execute(
        *("XADD", key, "MAXLEN", KEPT, "*", _NOTE, json.dumps(said)), key=key
    )
    return str(entry.decode())


async def noted(client: StreamClient, pipeline: str, count: int = KEPT) -> list[dict[str, Any]]:
    """
    List the last actions, the newest first; what a job has done stands with its beginning.

    Redis: XREVRANGE.
    """
    key = Keyspace(pipeline).audit
    found: list[dict[str, Any]] = []
    ends: dict[str, Mapping[str, Any]] = {}
    for entry_id, fields in await client.channel.execute("XREVRANGE", key, "+", "-", "COUNT", KEPT, key=key):
        said = _read(dict(zip(fields[::2], fields[1::2], strict=True)).get(_NOTE.encode(), b""))
        if "ends" in said:
            ends[str(said.pop("ends"))] = said
            continue
        at = int(entry_id.partition(b"-")[0]) / 1000
        found.append({"id": entry_id.decode(), "at": at, **said, **ends.get(entry_id.decode(), {})})
    return found[:count]


def _read(raw: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, ValueError):
        return {}
