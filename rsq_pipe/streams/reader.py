"""Reader: the blocking reads of one consumer, over a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rsq_pipe.errors import ServerUnavailableError, StreamError
from rsq_pipe.streams.channel import Channel
from rsq_pipe.streams.entry import RawEntry, read_reply
from rsq_pipe.streams.link import Link, checked

_PATIENCE = 0.06  # seconds a blocked read is asked to end before its connection is closed instead
_NUDGE = 0.01  # seconds between two such attempts, and that one may take


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
        self._news = (">",) * len(self._streams)
        self._who = (group, consumer)
        self._link: Link | None = None
        self._client_id = 0
        self._blocked = False
        self._interrupted = False
        self.received: dict[str, str] = {}
        """The id of the last entry that arrived, by stream."""
        self.may_have_lost_a_reply = False
        """Whether entries may have been delivered that never arrived: they are pending for this consumer."""

    async def read(self, count: int, block_ms: int) -> list[RawEntry]:
        """
        Read up to `count` new entries a stream.

        Args:
            block_ms: Milliseconds to wait for the first one; 0 returns at once.

        Returns:
            The entries; none once `interrupt` was called.

        Raises:
            GroupLostError: A stream's group is gone.
            ServerUnavailableError: See `may_have_lost_a_reply`.

        Cancellation: closes the connection and may lose the reply; use `interrupt`.
        Redis: XREADGROUP.
        """
        try:
            link = self._link if self._link is not None and self._link.is_open else await self._open()
            if self._interrupted:
                return []
            entries = await self._entries(link, count, block_ms)
        except ServerUnavailableError:
            if self._interrupted:  # by closing the connection; what it carried is handed back
                return []
            await self.close()  # its server may be a replica by now, or without the slot
            self._channel.moved()
            raise
        for entry in entries:
            self.received[entry.stream] = entry.id
        return entries

    async def interrupt(self) -> None:
        """End a blocked read within a tenth of a second and let no other begin."""
        self._interrupted = True
        clock = asyncio.get_running_loop().time
        deadline = clock() + _PATIENCE
        while self._blocked and clock() < deadline:
            try:
                # Unlike a closed connection it cannot lose a reply that is on its way.
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
            await self._channel.release(link)

    async def _open(self) -> Link:
        await self.close()
        link = await self._channel.link(self._streams[0])
        try:
            await link.open(timeout=self._channel.timeout)
            (reply,) = await link.exchange([["CLIENT", "ID"]], timeout=self._channel.timeout)
        except BaseException:  # cancelled by a stop, say: nobody else knows of this connection
            await self._channel.release(link)
            raise
        # A user without the right to CLIENT is stopped by closing the connection instead.
        self._client_id = reply if isinstance(reply, int) else 0
        self._link = link
        return link

    async def _entries(self, link: Link, count: int, block_ms: int) -> list[RawEntry]:
        block: list[str | int] = ["BLOCK", block_ms] if block_ms > 0 else []
        command = [
            "XREADGROUP",
            "GROUP",
            *self._who,
            "COUNT",
            count,
            *block,
            "STREAMS",
            *self._streams,
            *self._news,
        ]
        # Before the command is sent: an interruption must find a read that is about to block.
        self._blocked = block_ms > 0
        self.may_have_lost_a_reply = True
        try:
            (reply,) = await link.exchange([command], timeout=self._channel.timeout + block_ms / 1000)
        finally:
            self._blocked = False
        self.may_have_lost_a_reply = False
        return read_reply(checked(reply, link.address))
