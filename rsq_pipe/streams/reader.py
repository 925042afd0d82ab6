"""Reader: the blocking reads of one consumer, over a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from redis.exceptions import AskError, MovedError

from rsq_pipe.errors import ServerUnavailableError, StreamError
from rsq_pipe.streams.channel import Channel
from rsq_pipe.streams.entry import RawEntry, read_reply
from rsq_pipe.streams.link import Command, Link, checked

_NUDGE = 0.02  # seconds between attempts to end a blocked read
_NUDGES = 3  # attempts before its connection is closed instead


class Reader:
    """
    Read new entries of some streams for one consumer.

    Args:
        channel: The server.
        streams: Keys, those to be read first in front; in a cluster all in one slot.
        group, consumer: Who reads.
    """

    def __init__(self, channel: Channel, streams: Sequence[str], group: str, consumer: str) -> None:
        self._channel = channel
        self._streams = tuple(streams)
        self._who = (group, consumer)
        self._link: Link | None = None
        self._client_id = 0
        self._blocked = False
        self.may_have_lost_a_reply = False
        """Whether entries may have been delivered that never arrived: they are pending for this consumer."""

    async def read(self, count: int, block_ms: int) -> list[RawEntry]:
        """
        Read up to `count` new entries a stream.

        Args:
            block_ms: Milliseconds to wait for the first one; 0 returns at once.

        Raises:
            GroupLostError: A stream's group is gone.
            ServerUnavailableError: See `may_have_lost_a_reply`.

        Cancellation: closes the connection and may lose the reply; use `interrupt`.
        Redis: XREADGROUP.
        """
        link = await self._open()
        await link.send([self._command(count, block_ms)], timeout=self._channel.timeout)
        return await self._entries(link, block_ms)

    async def interrupt(self) -> None:
        """End a blocked read within a tenth of a second, without losing what it may be about to return."""
        for _ in range(_NUDGES):
            if not self._blocked:
                return
            try:
                await self._channel.execute(
                    "CLIENT", "UNBLOCK", self._client_id, key=self._streams[0], timeout=_NUDGE
                )
            except StreamError:
                break
            await asyncio.sleep(_NUDGE)
        if self._blocked and self._link is not None:
            await self._link.close()

    async def close(self) -> None:
        """Close the connection."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def _open(self) -> Link:
        if self._link is None or not self._link.is_open:
            link = await self._channel.link(self._streams[0])
            await link.open(timeout=self._channel.timeout)
            (reply,) = await link.exchange([["CLIENT", "ID"]], timeout=self._channel.timeout)
            # A user without the right to CLIENT is stopped by closing the connection instead.
            self._client_id = reply if isinstance(reply, int) else 0
            self._link = link
        return self._link

    def _command(self, count: int, block_ms: int) -> Command:
        block: list[str | int] = ["BLOCK", block_ms] if block_ms > 0 else []
        news = [">"] * len(self._streams)
        return ["XREADGROUP", "GROUP", *self._who, "COUNT", count, *block, "STREAMS", *self._streams, *news]

    async def _entries(self, link: Link, block_ms: int) -> list[RawEntry]:
        self.may_have_lost_a_reply = True
        self._blocked = block_ms > 0
        try:
            reply = await link.receive(timeout=self._channel.timeout + block_ms / 1000)
        finally:
            self._blocked = False
        self.may_have_lost_a_reply = False
        if isinstance(reply, MovedError | AskError):
            await self._channel.moved()
            await self.close()
            raise ServerUnavailableError(f"the streams moved to another node: {reply}", address=link.address)
        return read_reply(checked(reply, link.address))
