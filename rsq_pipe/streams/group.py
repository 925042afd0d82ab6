"""ConsumerGroup: creates and inspects a consumer group."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from rsq_pipe.errors import StreamError
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.stats import PendingEntry, StreamStats

_Known = set[tuple[Any, ...]]


class ConsumerGroup:
    """
    Manage one consumer group.

    Groups known to exist are remembered per event loop, endpoint, stream and group, so that `ensure` asks
    the server only once; `reset` forgets them.

    Args:
        client: The server.
        stream, group: The stream and its group.
    """

    _known: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, _Known]] = WeakKeyDictionary()

    def __init__(self, client: StreamClient, stream: str, group: str) -> None:
        self._client = client
        self._stream = stream
        self._group = group

    async def ensure(self, dlq_stream: str | None = None, dlq_group: str | None = None) -> None:
        """Create the group, and that of the dead-letter stream, unless they are known to exist."""
        await self._ensure(self._stream, self._group)
        if dlq_stream and dlq_group:
            await self._ensure(dlq_stream, dlq_group)

    async def _ensure(self, stream: str, group: str) -> None:
        known = self._known.setdefault(asyncio.get_running_loop(), set())
        name = (*self._client.channel.endpoint.identity, self._client.key(stream), group)
        if name not in known:
            await self._client.create_group(stream, group)
            known.add(name)

    def reset(self) -> None:
        """Forget that the group exists, so that the next `ensure` creates it if it does not."""
        name = (*self._client.channel.endpoint.identity, self._client.key(self._stream), self._group)
        for known in self._known.values():
            known.discard(name)

    async def stats(self, dlq_stream: str | None = None) -> StreamStats:
        """
        Describe the stream and the group.

        Raises:
            GroupLostError: The group does not exist.
        """
        client = self._client
        consumers = await client.consumer_info(self._stream, self._group)
        groups = {info.name: info for info in await client.group_info(self._stream)}
        info = groups[self._group]
        return StreamStats(
            stream=self._stream,
            group=self._group,
            stream_length=await client.stream_len(self._stream),
            group_pel_size=info.pending,
            lag=info.lag,
            last_delivered_id=info.last_delivered_id,
            consumers=consumers,
            dlq_length=await client.stream_len(dlq_stream) if dlq_stream else None,
        )

    async def health_check(
        self, max_lag: int = 10_000, max_idle_ms: int = 60_000, dlq_stream: str | None = None
    ) -> dict[str, Any]:
        """
        Assess the group.

        Returns:
            `healthy`, `issues` as sentences, and `stats` (None if they are not available). A consumer that
            holds nothing may be idle forever: only one that holds entries is an issue.
        """
        try:
            stats = await self.stats(dlq_stream)
        except StreamError as exc:
            return {"healthy": False, "issues": [str(exc)], "stats": None}
        issues = []
        if stats.lag is None:
            issues.append("the lag is unknown: the server cannot tell how many entries are undelivered")
        elif stats.lag > max_lag:
            issues.append(f"the lag is {stats.lag} entries; the bound is {max_lag}")
        issues += [
            f"consumer {consumer.name} holds {consumer.pending} entries and is idle for {consumer.idle_ms}ms"
            for consumer in stats.consumers
            if consumer.pending and consumer.idle_ms > max_idle_ms
        ]
        if stats.dlq_length:
            issues.append(f"{stats.dlq_length} dead letters wait in {dlq_stream}")
        return {"healthy": not issues, "issues": issues, "stats": stats}

    async def pending_details(self, count: int = 100) -> list[PendingEntry]:
        """List up to `count` delivered, unacknowledged entries, oldest id first."""
        return await self._client.pending_range(self._stream, self._group, count=count)
