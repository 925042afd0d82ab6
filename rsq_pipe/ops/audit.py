"""Audit: who did what to a pipeline, and when; the last thousand actions."""

from __future__ import annotations

import contextlib
import getpass
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.errors import StreamError, StreamFullError
from rsq_pipe.ops.dead_letters.progress import Progress
from rsq_pipe.streams.client import StreamClient

KEPT = 1_000
"""Number of actions stored per pipeline."""

_NOTE = "note"

_OUTCOME = ("state", "done", "held", "gone", "error", "ended")
"""The fields added once an action has ended."""

_UNREADABLE = {"who": "unknown", "action": "unreadable", "stage": "", "state": "unknown"}
"""Shown for an entry not written by this library, rather than hiding it."""


async def note(client: StreamClient, pipeline: str, **action_fields: Any) -> str:
    """
    Add an action to the audit log.

    Returns:
        Its id; empty if the server is full: the action may be the one that makes room.

    Redis: XADD MAXLEN.
    """
    key = Keyspace(pipeline).audit
    with contextlib.suppress(StreamFullError):
        entry = await client.channel.execute(
            *("XADD", key, "MAXLEN", KEPT, "*", _NOTE, json.dumps(action_fields)), key=key
        )
        return str(entry.decode())
    return ""


class Action:
    """
    Log a long action twice: before it begins, in case it never ends, and when it has ended.

    Args:
        client: The server.
        pipeline: The pipeline's name.
        action_fields: The fields stored about it.
    """

    def __init__(self, client: StreamClient, pipeline: str, **action_fields: Any) -> None:
        self._client = client
        self._pipeline = pipeline
        self._fields = action_fields
        self._name = ""

    async def begin(self) -> None:
        """Log that the action begins."""
        self._name = await note(self._client, self._pipeline, state="running", **self._fields)

    async def end(self, **ends: Any) -> None:
        """Log the action's result."""
        about = {"ends": self._name} if self._name else self._fields
        await note(self._client, self._pipeline, **about, **ends)

    async def around(self, work: Callable[[Progress], Awaitable[None]], progress: Progress) -> None:
        """Note the beginning and end of what is done inside."""
        await self.begin()
        state = "failed"
        try:
            await work(progress)
            state = "stopped" if progress.stopping.is_set() else "done"
        finally:
            done = progress.total
            with contextlib.suppress(StreamError):
                await self.end(state=state, done=done.removed, held=done.held, gone=done.gone)


def by_operator(action: str, stage: str) -> dict[str, str]:
    """Describe an action of a command's caller on a stage."""
    return {"who": operator(), "action": action, "stage": stage, "state": "done"}


def operator() -> str:
    """Name the caller of a command: `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "somebody"
    return f"{user}@{socket.gethostname()}"


async def noted(client: StreamClient, pipeline: str, count: int = KEPT) -> list[dict[str, Any]]:
    """
    List the last actions, newest first; the result of a job is shown with its beginning.

    Redis: XREVRANGE.
    """
    key = Keyspace(pipeline).audit
    found: list[dict[str, Any]] = []
    ends: dict[str, Mapping[str, Any]] = {}
    for entry_id, fields in await client.channel.execute("XREVRANGE", key, "+", "-", "COUNT", KEPT, key=key):
        action_fields = _read(dict(zip(fields[::2], fields[1::2], strict=True)).get(_NOTE.encode(), b""))
        if "ends" in action_fields:
            ends[str(action_fields.pop("ends"))] = action_fields
            continue
        at = int(entry_id.partition(b"-")[0]) / 1000
        name = entry_id.decode()
        # The end of an action changes neither who did what nor when.
        found.append({**action_fields, **_outcome(ends.get(name, {})), "id": name, "at": at})
    return found[:count]


def _outcome(ends: Mapping[str, Any]) -> dict[str, Any]:
    return {key: ends[key] for key in _OUTCOME if key in ends}


def _read(raw: bytes) -> dict[str, Any]:
    try:
        action_fields = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, ValueError, RecursionError):
        return dict(_UNREADABLE)
    known = "ends" in action_fields or all(isinstance(action_fields.get(key), str) for key in _UNREADABLE)
    return action_fields if known else dict(_UNREADABLE)
