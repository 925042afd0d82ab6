"""InFlight: the entries one consumer has in flight, whose idle time a heartbeat resets."""

from __future__ import annotations

from collections.abc import Iterable

from rsq_pipe.streams.channel import Channel
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.script import KEEP_ALIVE
from rsq_pipe.streams.settlement import Entry

_BEAT = 200  # entries one call of the script may touch: the server serves nobody else meanwhile


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
        self._held: set[tuple[str, str]] = set()

    def take(self, entries: Iterable[RawEntry | Entry]) -> None:
        """Add entries."""
        self._held.update([(entry[0], entry[1]) for entry in entries])

    def let_go(self, entries: Iterable[RawEntry | Entry]) -> None:
        """Remove entries."""
        self._held.difference_update([(entry[0], entry[1]) for entry in entries])

    def __contains__(self, entry: RawEntry | Entry) -> bool:
        return (entry[0], entry[1]) in self._held

    def __len__(self) -> int:
        return len(self._held)

    async def keep_alive(self) -> None:
        """
        Reset the idle time of the entries in flight that are still this consumer's.

        Redis: keep_alive.lua, which checks the owner first: a bare XCLAIM JUSTID from a worker that was
        asleep would steal its entries back from whoever took them over.
        """
        held: dict[str, list[str]] = {}
        for stream, entry_id in sorted(self._held):
            held.setdefault(stream, []).append(entry_id)
        for stream, ids in held.items():
            for start in range(0, len(ids), _BEAT):
                await self._channel.run(KEEP_ALIVE, [stream], [*self._who, *ids[start : start + _BEAT]])
