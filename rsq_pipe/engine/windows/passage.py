"""Passage: waits until everything that was on its way to a stage at one moment has been settled there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.spec.above import above
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.link import Command, checked
from rsq_pipe.streams.stats import group_info

_NONE = (0, 0)


class Passage:
    """
    Watch what a pipeline has on its way to a stage, from the sources down, stage by stage.

    A record that is in flight, or waits for its next attempt, while others overtake it is not late: a
    window is closed only once everything that was ahead of the stage when the watermark was read has passed
    it. Watched are first the entries in the inputs of a stage, then, as often as a record may fail, those of
    them that wait for a retry and those that have come back.

    Args:
        client: The server.
        graph, stage: The stage it is on the way to.
    """

    def __init__(self, client: StreamClient, graph: Graph, stage: Stage) -> None:
        keys = Keyspace(graph.pipeline)
        self._channel = client.channel
        self._key = keys.meta
        self._todo: list[_Stretch] = []
        for one in (*above(graph, stage), stage):
            if one.verb != "source":
                self._todo += [_Entries(key, one.name) for key in reversed(keys.inputs(one))]
                for _ in range(one.retry.attempts):
                    self._todo += [_Retries(keys.retry(one)), _Entries(keys.again_stream(one), one.name)]

    async def has_ended(self) -> bool:
        """
        Advance as far as possible; return whether everything has passed.

        Redis: XREVRANGE, XINFO GROUPS, XPENDING and ZRANGE, two or three commands for each stream on the way.
        """
        while self._todo:
            stretch = self._todo[0]
            if not stretch.begun:
                stretch.begin(await self._asked(stretch.held))
            if not stretch.has_passed(await self._asked(stretch.left)):
                return False
            self._todo.pop(0)
        return True

    async def _asked(self, commands: Sequence[Command]) -> list[Any]:
        replies = await self._channel.exchange(commands, key=self._key)
        return [checked(reply, self._channel.address) for reply in replies]


class _Stretch(Protocol):
    """A part of the way: the questions to ask when it begins, and those that show whether it is empty."""

    held: Sequence[Command]
    left: Sequence[Command]
    begun: bool

    def begin(self, replies: Sequence[Any]) -> None:
        """Store what is there now, from the replies to `held`."""
        ...

    def has_passed(self, replies: Sequence[Any]) -> bool:
        """Return whether nothing of that is there any more, from the replies to `left`."""
        ...


class _Entries:
    """Entries of a stream that a group has not settled."""

    def __init__(self, stream: str, group: str) -> None:
        self.held: Sequence[Command] = [["XREVRANGE", stream, "+", "-", "COUNT", 1]]
        self.left: Sequence[Command] = [["XINFO", "GROUPS", stream], ["XPENDING", stream, group]]
        self.begun = False
        self._group = group
        self._newest = _NONE

    def begin(self, replies: Sequence[Any]) -> None:
        self.begun = True
        (entries,) = replies
        # If the newest entry has been trimmed, all groups have settled it.
        self._newest = _number(entries[0][0]) if entries else _NONE

    def has_passed(self, replies: Sequence[Any]) -> bool:
        groups, (_, lowest, *_) = replies
        infos = [group_info(group) for group in groups]
        delivered = next((one.last_delivered_id for one in infos if one.name == self._group), "0-0")
        behind = _number(delivered.encode()) < self._newest
        return not behind and (lowest is None or _number(lowest) > self._newest)


class _Retries:
    """Records that wait for their next attempt, until the last of those waiting now is due."""

    def __init__(self, key: str) -> None:
        self.held: Sequence[Command] = [["ZRANGE", key, -1, -1, "WITHSCORES"]]
        self.left: Sequence[Command] = [["ZRANGE", key, 0, 0, "WITHSCORES"]]
        self.begun = False
        self._last = -1.0

    def begin(self, replies: Sequence[Any]) -> None:
        self.begun = True
        self._last = _score(replies[0], before=-1.0)

    def has_passed(self, replies: Sequence[Any]) -> bool:
        return _score(replies[0], before=float("inf")) > self._last


def _score(reply: Sequence[Any], *, before: float) -> float:
    return float(reply[1]) if reply else before


def _number(entry_id: bytes) -> tuple[int, int]:
    time, _, order = entry_id.partition(b"-")
    return int(time), int(order or 0)
