"""Pipelines: those that have run on a server, found without their files."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from msgspec import Struct

from rsq_pipe.engine.changes.past import Past, read_past
from rsq_pipe.engine.ownership.presence import Presence
from rsq_pipe.engine.state.legible import legible
from rsq_pipe.engine.state.state_keys import SCAN
from rsq_pipe.errors import StreamError
from rsq_pipe.streams.client import StreamClient

_META = re.compile(r"\{([a-z][a-z0-9_-]*)\}:meta")


class Listed(Struct, frozen=True):
    """
    Describe a pipeline on a server.

    Args:
        name: Its name.
        runs: The processes that run it.
        stages: Those of its last run.
        backlog: Records that its stages still have to handle; None if the server cannot tell.
        dead: Its dead letters.
        last: When the last record that a stage has read was written to its stream; None if there is none.
        fault: Why nothing more is known about it.
    """

    name: str
    runs: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    backlog: int | None = 0
    dead: int = 0
    last: datetime | None = None
    fault: str = ""

    @property
    def state(self) -> str:
        """Whether it is running or idle."""
        if self.fault:
            return "unknown"
        return "running" if self.runs else "resting"


async def pipelines(client: StreamClient) -> list[Listed]:
    """
    List the pipelines of a server or cluster by name.

    Raises:
        ServerUnavailableError: The server cannot be reached.

    Redis: SCAN on each server, in steps of `SCAN` keys; then per pipeline like `read_past`. Nothing is
    written.
    """
    names = {name async for name in _names(client)}
    found = [await _listed(client, name) for name in sorted(names)]
    return [one for one in found if one is not None]


async def _names(client: StreamClient) -> AsyncIterator[str]:
    for key in await client.channel.key_of_each_server():
        cursor = b""
        while cursor != b"0":
            cursor, page = await client.channel.execute(
                "SCAN", cursor or b"0", "MATCH", "{*}:meta", "COUNT", SCAN, "TYPE", "hash", key=key
            )
            for name in page:
                if match := _META.fullmatch(name.decode(errors="replace")):
                    yield match[1]


async def _listed(client: StreamClient, name: str) -> Listed | None:
    """Describe a pipeline; None for something that only looks like one."""
    try:
        with legible(name, client.channel.address):
            past = await read_past(client, name)
            runs = await Presence(client, name).others()
            return described(name, past, runs) if past.ran else None
    except StreamError as exc:
        if exc.retryable:
            raise
        return Listed(name, fault=str(exc))  # not ours: this user lacks the right, or it is garbage


def described(name: str, past: Past, runs: list[str]) -> Listed:
    """Summarize what a pipeline holds."""
    held = past.holdings.values()
    known = [holding.lag for holding in held if holding.lag is not None]
    pending = sum(holding.pending + holding.retry for holding in held)
    ids = [entry for holding in held for entry in holding.last.values()]
    newest = max((int(entry.partition("-")[0]) for entry in ids), default=0)
    return Listed(
        name,
        tuple(runs),
        past.last.names,
        sum(known) + pending if len(known) == len(past.holdings) else None,
        sum(holding.dead for holding in held),
        datetime.fromtimestamp(newest / 1000, UTC) if newest else None,
    )
