"""RetryHandler: sweeps a group's pending list for entries that were delivered too often."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from rsq_pipe.errors import DecodeError
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.serializers import JsonSerializer, Serializer
from rsq_pipe.streams.settlement import Entry, Settlement
from rsq_pipe.streams.worker import worker_name

log = logging.getLogger("rsq_pipe.streams")

DLQHandler: TypeAlias = Callable[[StreamMessage, str], Awaitable[None]]
"""Called with a message and the reason it failed for good; raising keeps the entry pending."""


class RetryHandler:
    """
    Route entries that exceeded their deliveries to a handler, then acknowledge them.

    StreamConsumer does this by itself; use RetryHandler for a group whose consumers are not StreamConsumers.

    Args:
        client: The server.
        stream, group: The stream and group to scan.
        dlq_handler: Called once per such entry.
        max_deliveries: Maximum number of deliveries of an entry.
        batch_size: Number of entries that one call checks.
        serializer: How records are decoded; an undecodable one is passed on as bytes.
        min_idle_ms: An entry touched within this many milliseconds may still be running and is left alone.
    """

    def __init__(
        self,
        client: StreamClient,
        stream: str,
        group: str,
        dlq_handler: DLQHandler,
        max_deliveries: int = 3,
        batch_size: int = 100,
        serializer: Serializer | None = None,
        *,
        min_idle_ms: int = 10_000,
    ) -> None:
        self._client = client
        self._stream = stream
        self._group = group
        self._dlq_handler = dlq_handler
        self._max_deliveries = max_deliveries
        self._batch_size = batch_size
        self._serializer: Serializer = JsonSerializer() if serializer is None else serializer
        self._min_idle_ms = min_idle_ms
        self._name = worker_name(group)

    async def handle_poison_pills(self) -> int:
        """
        Route every entry with more deliveries than allowed, and acknowledge those the handler accepted.

        Returns:
            How many were acknowledged.

        Delivery: of several sweepers only the one that owns an entry calls the handler for it.
        Redis: XPENDING with IDLE, in pages to the end of the list; XCLAIM; settle.lua.
        """
        done, start = 0, "-"
        while True:
            page = await self._client.pending_range(
                self._stream, self._group, start, count=self._batch_size, min_idle_ms=self._min_idle_ms
            )
            for entry in page:
                if entry.delivery_count >= self._max_deliveries and await self._take(entry.id):
                    done += await self._dead_letter(entry.id)
            if len(page) < self._batch_size:
                return done
            start = f"({page[-1].id}"

    async def send_to_dlq(self, msg: StreamMessage, reason: str) -> None:
        """Pass one message to the handler; an exception is logged, and the entry stays pending."""
        await self._routed(msg, reason)

    async def _take(self, entry_id: str) -> bool:
        key = self._client.key(self._stream)
        who = (self._group, self._name)
        return bool(
            await self._client.channel.execute(
                "XCLAIM", key, *who, self._min_idle_ms, entry_id, "JUSTID", key=key
            )
        )

    async def _dead_letter(self, entry_id: str) -> int:
        again = await self._client.redeliver(self._stream, self._group, self._name, [entry_id])
        if not again.entries:
            return 0
        entry = again.entries[0]
        raw = entry.data
        try:
            data = self._serializer.decode(raw)
        except DecodeError:
            data = raw
        # The sweep's own delivery does not count as one of the handler's.
        message = StreamMessage(entry.id, data, entry.deliveries - 1, entry.headers, entry.stream, raw)
        if not await self._routed(message, "max_deliveries"):
            return 0
        settlement = Settlement.ack([Entry(entry.stream, entry.id, entry.deliveries)])
        settled = await self._client.settle(settlement, group=self._group, consumer=self._name)
        return len(settled.committed)

    async def _routed(self, message: StreamMessage, reason: str) -> bool:
        try:
            await self._dlq_handler(message, reason)
        except Exception:  # user code; the entry stays pending, so nothing is lost
            log.exception("dlq_handler failed on %s/%s; the entry stays pending", message.stream, message.id)
            return False
        return True
