"""Membership: one consumer's part in its groups, from creating them to leaving them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from rsq_pipe.errors import GroupLostError, StreamError
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.config import ConsumerConfig
from rsq_pipe.streams.entry import RawEntry, id_number
from rsq_pipe.streams.script import FORGET, HAND_BACK, TRIM
from rsq_pipe.streams.settlement import Entry, Settled

_LEAVE = 2.0
"""Seconds that handing back may take when a consumer ends; other entries are reclaimed later."""

_GONE_AFTER = 60
"""Number of reclaim periods that a consumer without entries may be silent before its name is removed."""

_FORGET_EVERY = 60
"""Number of reclaim turns between two checks for such names."""

_NO_IDLE_MS = 10_000
"""The reclaim period in seconds if `min_idle_claim_ms` is 0."""

_HIGHEST = 2**64 - 1  # the last entry of a millisecond

_RESTORED_AT_ONCE = 1_000
"""How many entries one XCLAIM makes pending again."""

_HANDED_BACK_IDLE_MS = 24 * 60 * 60 * 1000
"""The idle time given to entries handed back, so that every reclaim takes them at once."""


class Membership:
    """
    Keep a consumer's groups in order.

    Args:
        client: The server.
        streams: Names of the streams it reads.
        config: The consumer's settings.
    """

    def __init__(self, client: StreamClient, streams: Sequence[str], config: ConsumerConfig) -> None:
        self._client = client
        self._streams = streams
        self._config = config
        self._last_id: dict[str, str] = {}
        self._unsettled: dict[str, set[str]] = {client.key(stream): set() for stream in streams}
        self._others_from: dict[str, str] = {}
        self._ensured = False
        self._turns = 0

    async def ensure(self) -> None:
        """Create the groups that do not exist; asks the server once, and again after `lost`."""
        if self._ensured or not self._config.create_groups:
            return
        config = self._config
        for stream in self._streams:
            key = self._client.key(stream)
            known = key in self._last_id
            # A lost group continues at the last id this consumer knows: from the start of the stream, it
            # would handle everything twice. If others read as well, it continues where all of them were done
            # at the last look.
            start = self._others_from.get(key) or self._last_id.get(key, config.start_id)
            if await self._client.create_group(stream, config.group, start) and known:
                await self._restore(key, start)
            await self._look(stream)
        if config.dlq_stream and config.dlq_group:
            await self._client.create_group(config.dlq_stream, config.dlq_group)
        self._ensured = True

    def remember(self, batch: Sequence[RawEntry]) -> None:
        """
        Note how far this consumer has got.

        Called when a batch has been handled, not when it is read: if its settlement found the group
        gone, nothing was written, and the recreated group has to deliver the batch again.
        """
        for entry in batch:
            self._last_id[entry.stream] = entry.id

    def took(self, entries: Sequence[RawEntry | Entry]) -> None:
        """Note what this consumer has to settle: a lost group loses its list of pending entries."""
        for entry in entries:
            self._unsettled[entry.stream].add(entry.id)

    def settled(self, settled: Settled) -> None:
        """Note what this consumer no longer has to settle, because done or taken over by another consumer."""
        for part in (*settled.committed, *settled.fenced):
            for entry in part.entries:
                self._unsettled[entry.stream].discard(entry.id)

    def lost(self) -> None:
        """Note that a group is gone: `ensure` recreates it where this consumer left off."""
        self._ensured = False

    async def tend(self) -> None:
        """Maintain the streams, once per turn of the reclaim: trim, and sometimes remove dead consumers."""
        await self.trim()
        if self._config.create_groups:
            for stream in self._streams:
                await self._look(stream)
        if self._turns % _FORGET_EVERY == 0:
            await self.forget_the_gone()
        self._turns += 1

    async def trim(self) -> None:
        """Trim what every group acknowledged, while a stream holds more than `max_stream_size`."""
        if self._config.max_stream_size is None:
            return
        for stream in self._streams:
            if await self._client.stream_len(stream) > self._config.max_stream_size:
                key = self._client.key(stream)
                await self._client.channel.run(TRIM, [key], [0, "=", self._config.group])

    async def forget_the_gone(self) -> list[str]:
        """Remove the names of consumers that have long been silent and hold nothing."""
        idle = (self._config.min_idle_claim_ms or _NO_IDLE_MS) * _GONE_AFTER
        gone: list[str] = []
        for stream in self._streams:
            key = self._client.key(stream)
            names = await self._client.channel.run(FORGET, [key], [self._config.group, idle])
            gone += [name.decode() for name in names]
        return gone

    async def _look(self, stream: str) -> None:
        """Note how far the group has got, and which of its entries other consumers have not finished."""
        key, group, name = self._client.key(stream), self._config.group, self._config.worker_name
        before = set(self._unsettled[key])
        groups = {info.name: info for info in await self._client.group_info(stream)}
        if group not in groups:  # lost: the next read finds out
            return
        done = groups[group].last_delivered_id
        self._last_id.setdefault(key, done)
        own = await self._client.pending_range(stream, group, count=1, consumer=name)
        lowest = id_number(own[0].id) if own else None
        # Entries that others took over and finished no longer matter.
        self._unsettled[key] -= {i for i in before if lowest is None or id_number(i) < lowest}
        if any(other.name != name for other in await self._client.consumer_info(stream, group)):
            first = await self._client.pending_range(stream, group, count=1)
            self._others_from[key] = _before(first[0].id) if first else done
        else:
            self._others_from.pop(key, None)

    async def _restore(self, key: str, start: str) -> None:
        """Make entries pending again that this consumer had not settled when the group was lost."""
        ids = sorted((i for i in self._unsettled[key] if id_number(i) <= id_number(start)), key=id_number)
        who = (self._config.group, self._config.worker_name)
        for begin in range(0, len(ids), _RESTORED_AT_ONCE):
            some = ids[begin : begin + _RESTORED_AT_ONCE]
            how = ("IDLE", _HANDED_BACK_IDLE_MS, "FORCE", "JUSTID")
            await self._client.channel.execute("XCLAIM", key, *who, 0, *some, *how, key=key)

    async def leave(self, *, uncounted: bool, has_begun: bool = False) -> None:
        """
        Hand back what is pending for this consumer, or remove its name if nothing is.

        Args:
            uncounted: Whether to take back the last delivery of each entry, which does not count against it.
            has_begun: Whether each entry still has to show that it was delivered before.
        """
        taken_back = 0 if not uncounted else 2 if has_begun else 1
        args: list[str | int] = [
            self._config.group,
            self._config.worker_name,
            _HANDED_BACK_IDLE_MS,
            taken_back,
        ]
        # If the server is unreachable, the entries come back when they have been idle long enough.
        with contextlib.suppress(StreamError, TimeoutError):
            async with asyncio.timeout(_LEAVE):
                for stream in self._streams:
                    with contextlib.suppress(GroupLostError):
                        await self._client.channel.run(HAND_BACK, [self._client.key(stream)], args)


def _before(entry_id: str) -> str:
    """Return the id just before an entry's: a group that is to read the entry begins there."""
    ms, seq = id_number(entry_id)
    if seq:
        return f"{ms}-{seq - 1}"
    return f"{ms - 1}-{_HIGHEST}" if ms else "0-0"
