"""Rewind: notices that the server is back at an earlier moment, and has the run go on from there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Protocol

import structlog

from rsq_pipe.engine.process import Process
from rsq_pipe.engine.state.count_fields import appended
from rsq_pipe.engine.state.source_ends import SourceEnds
from rsq_pipe.engine.state.state import PipelineState


class Reader(Protocol):
    """A source's worker."""

    def read_again(self) -> None:
        """Read from the stored positions, even if the source had ended."""
        ...


class Rewind:
    """
    Compare each state of the pipeline with what this process knew before it asked for it.

    After a failover, a crash without `appendfsync always` or a restore the server holds what it held some
    time ago. Settlements notice by themselves that a position or a state is not what they expect. This is for
    what waits: a source that had ended, and workers that count on records the server has lost.

    Args:
        process: What the stages of this process share.
        ends: Which sources of the run have ended.
    """

    def __init__(self, process: Process, ends: SourceEnds) -> None:
        self._process = process
        self._ends = ends
        self._totals: dict[str, int] = {}
        self.next = asyncio.Event()
        """Set when it is noticed the next time."""

    def asks(self) -> None:
        """Remember what is known now: the server is about to be asked for the pipeline's state."""
        self._totals = {**self._process.totals}

    async def is_noticed(
        self, before: PipelineState | None, state: PipelineState, readers: Iterable[Reader]
    ) -> bool:
        """
        Return whether the server was at a later moment before; then make all that waits begin again.

        Args:
            before: The state at the look before.
            state: The state that was asked for last.
            readers: The workers of the sources.

        Redis: HMGET, HDEL, if so.
        """
        lost = lost_writes(before, self._totals, state)
        if not lost:
            return False
        await self._ends.begin()  # what it notes has to be noted again
        structlog.get_logger("rsq_pipe").warning(
            "the server is back at an earlier moment, as after a failover, a crash or a restore: what it "
            "lost is read and handled again, and what sinks had written of it may be written twice",
            pipeline=self._process.graph.pipeline,
            lost={name: count for name, count in lost.items() if name.endswith((":in", ":out"))},
        )
        self._process.totals.clear()
        for reader in readers:
            reader.read_again()
        noticed, self.next = self.next, asyncio.Event()
        noticed.set()
        return True


def lost_writes(
    before: PipelineState | None, totals: Mapping[str, int], state: PipelineState
) -> dict[str, int]:
    """
    Return the counters that are lower than they were, though they only grow, and by how many records.

    Args:
        before: The state at the look before.
        totals: What settlements had reported when the server was asked for `state`; of other counters than
            those of `before`, or newer.
        state: The state now.
    """
    known = {**(before.counters if before is not None else {}), **totals}
    found = {
        **state.counters,
        **{appended(stream): done + state.backlog[stream] for stream, done in state.settled.items()},
    }
    # What a stage has settled of a stream follows from what was written to it, and is not read alone.
    return {
        name: count - found.get(name, 0)
        for name, count in known.items()
        if count > found.get(name, 0) and not name.startswith("settled:")
    }
