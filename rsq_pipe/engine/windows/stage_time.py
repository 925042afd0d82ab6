"""Stage time: until when the buckets of a state may be closed, by its records' times or by the clock."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

from rsq_pipe.engine.state.state import PipelineState
from rsq_pipe.engine.windows.passage import Passage
from rsq_pipe.engine.windows.watermark import Input, is_empty, watermark
from rsq_pipe.model.state import Fields, Now, StateReader, Timers
from rsq_pipe.spec.above import waits_for_end
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.spec.stages.aggregate import Aggregation, Windows
from rsq_pipe.spec.stages.join import Joining
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.verbs.windows.window_state import came, seen


class StageTime(Protocol):
    """Knows how far the time of a stage has advanced."""

    wait: float
    """Seconds until a new answer is possible without a record, from the last one; inf if never."""

    def update(self, state: PipelineState) -> None:
        """Update from the pipeline's state."""
        ...

    async def reached(self) -> int | None:
        """Return until when due buckets may be closed; None if nothing is due."""
        ...


class EventTime:
    """
    Follow the times of the records. Records on their way to the stage are not late: it waits for them.

    Args:
        client: The server.
        graph, stage: The pipeline and the stage.
        windows: Its windows.
        state: The times that the stage has seen.
    """

    def __init__(
        self, client: StreamClient, graph: Graph, stage: Stage, windows: Windows, state: StateReader
    ) -> None:
        self._client = client
        self._graph, self._stage = graph, stage
        self._windows = windows
        self._state = state
        self._seen_state: PipelineState | None = None
        self._under_way: tuple[int, Passage] | None = None
        """A watermark, and what was ahead of the stage when it was read."""
        self.wait = 0.0

    def update(self, state: PipelineState) -> None:
        """Update from the pipeline's state."""
        self._seen_state = state

    async def reached(self) -> int | None:
        """Take a watermark, and return it once all that was on its way then has arrived."""
        if self._under_way is None:
            mark, due = await self._watermark()
            past = [int(at) for at in due.values() if mark is not None and at <= mark]
            if not past:
                return None
            self._under_way = (max(past), Passage(self._client, self._graph, self._stage))
            self.wait = 0.0
        until, passage = self._under_way
        if not await passage.has_ended():
            return None
        self._under_way = None
        return until

    async def _watermark(self) -> tuple[int | None, Mapping[str, float]]:
        """Return how far the time of the records has advanced, and when the open windows are due."""
        state = self._seen_state
        assert state is not None
        names = [ref.name for ref in self._stage.inputs]
        fields = [field for name in names for field in (seen(name), came(name))]
        values, due, now = await self._state.ask(Fields(fields), Timers(), Now())
        numbers = [None if value is None else int(float(value)) for value in values]
        inputs = [
            Input(latest, now - (at or 0), is_empty(self._graph, self._stage, ref, state))
            for ref, latest, at in zip(self._stage.inputs, numbers[::2], numbers[1::2], strict=True)
        ]
        # An input that has been idle for long enough no longer holds a window open.
        left = [self._windows.idle - one.quiet for one in inputs if one.quiet < self._windows.idle]
        self.wait = min(left, default=math.inf) / 1000
        return watermark(inputs, self._windows), due


class ArrivalTime:
    """
    Follow the server's clock.

    Args:
        state: Provides the server's clock.
    """

    def __init__(self, state: StateReader) -> None:
        self._state = state
        self.wait = 0.0

    def update(self, state: PipelineState) -> None:
        """Do nothing."""

    async def reached(self) -> int | None:
        """Return the latest due time that has been reached; None if nothing is due."""
        now, due = await self._state.ask(Now(), Timers())
        self.wait = min((at - now for at in due.values() if at > now), default=math.inf) / 1000
        return max((int(at) for at in due.values() if at <= now), default=None)


def stage_time(client: StreamClient, graph: Graph, stage: Stage, state: StateReader) -> StageTime | None:
    """Create the clock of a stage; None if only the end of its input counts."""
    match stage.options:
        case Aggregation(windows=Windows() as windows) if not waits_for_end(graph, stage):
            return EventTime(client, graph, stage, windows, state)
        case Joining(within=float()):
            return ArrivalTime(state)
        case _:
            return None
