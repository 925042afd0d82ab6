"""DeadLetterGroups: one stage's dead letters grouped by cause, updated without reading all again."""

from __future__ import annotations

import asyncio

from rsq_pipe.ops.dead_letters.dead_letter import DeadLetter
from rsq_pipe.ops.dead_letters.failure_groups import FailureGroups
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.entry_pages import entry_pages
from rsq_pipe.streams.link import Command, checked

PAGE = 200
"""Number of dead letters read at once."""


class DeadLetterGroups:
    """
    Group the dead letters of one stage. Memory grows with the kinds of failure, not with the letters.

    Args:
        client: The server.
        key: The stream of its dead letters.
        stage: The stage's name.
    """

    def __init__(self, client: StreamClient, key: str, stage: str) -> None:
        self._client = client
        self._key = key
        self._stage = stage
        self._lock = asyncio.Lock()
        self._first = self._last = ""
        self._count = 0
        self.groups = FailureGroups()
        """As of the last refresh; none before that."""

    async def refresh(self) -> FailureGroups:
        """
        Read the letters added since the last time; all of them again if letters have been removed since.

        Redis: XLEN, XRANGE and XREVRANGE of one entry; XRANGE, page by page.
        """
        async with self._lock:
            length, first, last = await self._ends()
            if (length, first, last) == (self._count, self._first, self._last):
                return self.groups
            if not (self._count and first == self._first and length > self._count):
                self._begin()
            groups = await self._read(last)
            if self._count > length and self._first:  # some were removed while others were added: count again
                self._begin()
                groups = await self._read(last)
            return groups

    def key_of(self, letter: DeadLetter) -> str:
        """Name the group of a dead letter."""
        return self.groups.key_of(letter)

    def _begin(self) -> None:
        self.groups, self._count, self._first, self._last = FailureGroups(), 0, "", ""

    async def _ends(self) -> tuple[int, str, str]:
        channel, key = self._client.channel, self._key
        commands: list[Command] = [
            ["XLEN", key],
            ["XRANGE", key, "-", "+", "COUNT", 1],
            ["XREVRANGE", key, "+", "-", "COUNT", 1],
        ]
        replies = await channel.exchange(commands, key=key)
        length, first, last = (checked(reply, channel.address) for reply in replies)
        return length, first[0][0].decode() if first else "", last[0][0].decode() if last else ""

    async def _read(self, newest: str) -> FailureGroups:
        if not newest:
            return self.groups
        start = f"({self._last}" if self._last else "-"
        async for page in entry_pages(self._client.channel, self._key, start, newest, size=PAGE):
            for entry in page:
                self.groups.add(DeadLetter(self._stage, entry))
                self._first, self._last = self._first or entry.id, entry.id
                self._count += 1
            await asyncio.sleep(0)  # lets other requests be served
        return self.groups
