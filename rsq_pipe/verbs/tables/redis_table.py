"""RedisTable: rows under Redis keys, as hashes or as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from rsq_pipe.connectors.endpoint import AwayError, RefusedError
from rsq_pipe.connectors.jsonl.json_object import UNREADABLE, parse
from rsq_pipe.connectors.wording import wording
from rsq_pipe.errors import StreamError
from rsq_pipe.spec.stages.lookup import RedisRef
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.values import Value, Values
from rsq_pipe.verbs.tables.keys import Key
from rsq_pipe.verbs.tables.remote_table import Answer


class RedisTable:
    """
    Query a Redis server.

    Args:
        of: The keys, and the form of their values.
        client: The pipeline's own server; used unless `of` names another.
    """

    def __init__(self, of: RedisRef, client: StreamClient | None) -> None:
        self._of = of
        self._own = StreamClient.from_url(of.url) if of.url else None
        used = self._own or client
        self._values = None if used is None else Values(used, of.value)

    async def fetch(self, keys: Sequence[Key], seconds: float) -> Mapping[Key, Answer]:
        """Read all keys in one write; in a cluster, one write per server."""
        if self._values is None:
            raise RefusedError("there is no server here to ask; name one by `url`")
        names = [self._of.key.spell(key) for key in keys]
        try:
            async with asyncio.timeout(seconds):
                found = await self._values.read(names)
        except StreamError as exc:
            if exc.retryable:
                raise AwayError(str(exc)) from exc
            raise RefusedError(str(exc)) from exc
        return {
            key: _row(name, value)
            for key, name, value in zip(keys, names, found, strict=True)
            if value is not None
        }

    async def close(self) -> None:
        """Close the connections to a server of its own."""
        if self._own is not None:
            await self._own.close()


def _row(name: str, value: Value | ValueError) -> Answer:
    if isinstance(value, ValueError):
        return ValueError(f"key {name!r} holds {value}")
    assert value is not None
    try:
        if isinstance(value, bytes):
            return parse(value)
        return {field.decode(): text.decode() for field, text in value.items()}
    except UNREADABLE as exc:
        return ValueError(f"key {name!r}: {wording(exc)}")
