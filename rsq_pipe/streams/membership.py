"""Membership: one consumer's place in its groups, from creating them to leaving them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from rsq_pipe.errors import GroupLostError
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.config import ConsumerConfig
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.script import FORGET, HAND_BACK, TRIM

_GONE_AFTER = 60
"""How many reclaim periods a consumer that holds nothing may be silent before its name is removed."""

_FORGET_EVERY = 60
"""Turns of the reclaim between two looks for such names."""

_HANDED_BACK_IDLE_MS = 24 * 60 * 60 * 1000
"""The idle time that entries handed back show, so that every reclaim takes them at once."""


class Membership:
    """
    Keep a consumer's groups.

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
        self._ensured = False
        self._turns = 0

    async def ensure(self) -> None:
        """Create the groups that are not there; asks the server once, and again after `lost`."""
        if self._ensured or not self._config.create_groups:
            return
        config = self._config
        for stream in self._streams:
            key = self._client.key(stream)
            # A group that was lost goes on at the last id this consumer knows of: from the start of the
            # stream, it would handle everything a second time.
            await self._client.create_group(stream, config.group, self._last_id.get(key, config.start_id))
            if key not in self._last_id:
                for group in await self._client.group_info(stream):
                    if group.name == config.group:
                        self._last_id[key] = group.last_delivered_id
        if config.dlq_stream and config.dlq_group:
            await self._client.create_group(config.dlq_stream, config.dlq_group)
        self._ensured = True

    def remember(self, batch: Sequence[RawEntry]) -> None:
        """
        Note how far this consumer has come.

        Called when a batch has been handled, not when it is read: where its settlement found the group
        gone, nothing of it was written, and the group made anew has to deliver it again.
        """
        for entry in batch:
            self._last_id[entry.stream] = entry.id

    def lost(self) -> None:
        """State that a group is gone: `ensure` creates it again where this consumer left off."""
        self._ensured = False

    async def tend(self) -> None:
        """Keep the streams in order, once a turn of the reclaim: trim, and now and then forget the gone."""
        await self.trim()
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
        """Remove the names of consumers that have been silent for long and hold nothing."""
        idle = self._config.min_idle_claim_ms * _GONE_AFTER
        gone: list[str] = []
        for stream in self._streams:
            key = self._client.key(stream)
            names = await self._client.channel.run(FORGET, [key], [self._config.group, idle])
            gone += [name.decode() for name in names]
        return gone

    async def leave(self) -> None:
        """Hand back what is pending for this consumer, or remove its name where nothing is."""
        config = self._config
        for stream in self._streams:
            args: list[str | bytes | int] = [config.group, config.worker_name, _HANDED_BACK_IDLE_MS]
            with contextlib.suppress(GroupLostError):
                await self._client.channel.run(HAND_BACK, [self._client.key(stream)], args)
