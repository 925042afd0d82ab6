"""InFlight: the entries one consumer has in flight, whose idle time a heartbeat resets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from rsq_pipe.errors import StreamError
from rsq_pipe.streams.channel import Channel
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.script import KEEP_ALIVE
from rsq_pipe.streams.settlement import Entry

_BEAT = 200  # entries one call of the script may touch: the server serves nobody else meanwhile

log = logging.getLogger("rsq_pipe.streams")


class InFlight:
    """
    Remember which entries a consumer has in flight.

    Args:
        channel: The server.
        group, consumer: Who holds them.
    """

    def __init__(self, channel: Channel, group: str, consumer: str) -> None:
        self._channel = channel
        self._who = (group, consumer)
        # Whole batches, and not a set of ids: nearly all are let go of as they were taken.
        self._held: list[Sequence[RawEntry | Entry]] = []

    def take(self, entries: Sequence[RawEntry | Entry]) -> None:
        """Add entries; those that are added to the list later are in flight as well."""
        if entries:
            self._held.append(entries)

    def let_go(self, entries: Sequence[RawEntry | Entry]) -> None:
        """Remove entries."""
        for place, held in enumerate(self._held):
            if held is entries:
                del self._held[place]
                return
        gone = {(entry[0], entry[1]) for entry in entries}
        for place, held in reversed([*enumerate(self._held)]) if gone else ():
            left = [entry for entry in held if (entry[0], entry[1]) not in gone]
            # A list of which nothing goes stays itself: it may be a batch that is still being filled.
            if len(left) < len(held):
                self._held[place : place + 1] = [left] if left else []

    def ids(self) -> set[tuple[str, str]]:
        """Return stream and id of each."""
        return {(entry[0], entry[1]) for entries in self._held for entry in entries}

    def __len__(self) -> int:
        return len(self.ids())

    async def beat(self, every_ms: int) -> None:
        """Keep what is in flight alive until it is cancelled."""
        while True:
            await asyncio.sleep(every_ms / 1000)
            try:
                await self.keep_alive()
            except StreamError:  # whoever reads notices and reports it; the beat only has to try again
                log.debug("group %s: no heartbeat", self._who[0], exc_info=True)

    async def keep_alive(self) -> None:
        """
        Reset the idle time of the entries in flight that are still this consumer's.

        Redis: keep_alive.lua, which checks the owner first: a bare XCLAIM JUSTID from a worker that was
        asleep would steal its entries back from whoever took them over.
        """
        held: dict[str, list[str]] = {}
        for stream, entry_id in sorted(self.ids()):
            held.setdefault(stream, []).append(entry_id)
        for stream, ids in held.items():
            for start in range(0, len(ids), _BEAT):
                await self._channel.run(KEEP_ALIVE, [stream], [*self._who, *ids[start : start + _BEAT]])
