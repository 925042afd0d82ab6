"""Holding: the entries one consumer has in hand, whose idle time a heartbeat resets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from rsq_pipe.streams.channel import Channel
from rsq_pipe.streams.script import KEEP_ALIVE

_BEAT = 200  # entries one call of the script may touch: the server serves nobody else meanwhile


class Holding:
    """
    Remember which entries a consumer has in hand.

    Args:
        channel: The server.
        group, consumer: Who holds them.
    """

    def __init__(self, channel: Channel, group: str, consumer: str) -> None:
        self._channel = channel
        self._who = (group, consumer)
        self._held: defaultdict[str, set[str]] = defaultdict(set)

    def take(self, stream: str, ids: Iterable[str]) -> None:
        """Add entries."""
        self._held[stream].update(ids)

    def let_go(self, stream: str, ids: Iterable[str]) -> None:
        """Remove entries."""
        self._held[stream].difference_update(ids)

    def __contains__(self, entry: tuple[str, str]) -> bool:
        return entry[1] in self._held[entry[0]]

    def __len__(self) -> int:
        return sum(len(ids) for ids in self._held.values())

    async def keep_alive(self) -> None:
        """
        Reset the idle time of the entries in hand that are still this consumer's.

        Redis: keep_alive.lua, which checks the owner first: a bare XCLAIM JUSTID from a worker that was
        asleep would steal its entries back from whoever took them over.
        """
        for stream, held in list(self._held.items()):
            ids = sorted(held)
            for start in range(0, len(ids), _BEAT):
                await self._channel.run(KEEP_ALIVE, [stream], [*self._who, *ids[start : start + _BEAT]])
