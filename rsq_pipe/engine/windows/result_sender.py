"""ResultSender: emits the results for groups, in the settlement that removes them from the state."""

from __future__ import annotations

import asyncio

import structlog

from rsq_pipe.engine.backlog import Backlog
from rsq_pipe.engine.failures.failure_log import FailureLog
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.links import chain
from rsq_pipe.engine.packing import Unpacked
from rsq_pipe.engine.plan import Work
from rsq_pipe.engine.planner import NO_ENTRIES, Planner
from rsq_pipe.engine.process import Process
from rsq_pipe.engine.state.state import PipelineState
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.state import StateChange
from rsq_pipe.spec.graph import Stage
from rsq_pipe.streams.backoff import Backoff
from rsq_pipe.streams.settlement import Settled, Settlement, StateOf
from rsq_pipe.verbs.verb import Verb


class ResultSender:
    """
    Send records that leave a stage's state through the stages fused with it, as a source does.

    Args:
        process: What the stages of this process share.
        stage: The stage.
        verb: What it does with these records.
    """

    def __init__(self, process: Process, stage: Stage, verb: Verb) -> None:
        graph = process.graph
        keys = Keyspace(graph.pipeline)
        self._process = process
        self._keys = (keys.state(stage), keys.timers(stage))
        self._chain = chain(graph, stage, process.names, process.observer, verb=verb)
        self._planner = Planner(graph, stage)
        self._backlog = Backlog(process, [link.stage.name for link in self._chain.links()])
        self._what = f"{stage.name} (windows)"
        log = structlog.get_logger("rsq_pipe").bind(pipeline=graph.pipeline, stage=stage.name)
        self._failed = FailureLog(log)
        self._stopping = asyncio.Event()
        self.tried = 0
        """How many changes of the state were attempted."""

    async def open(self) -> None:
        """Open the verbs."""
        await self._chain.open()

    async def close(self) -> None:
        """Close the verbs, and log what failed."""
        self._failed.close()
        await self._chain.close()

    def stop(self) -> None:
        """Stop waiting for room or for the server."""
        self._stopping.set()
        self._backlog.stop()

    @property
    def is_open(self) -> bool:
        """Whether the streams below have room."""
        return self._backlog.is_open

    def update(self, state: PipelineState) -> None:
        """Update from the pipeline's state."""
        self._backlog.update(state)

    async def has_room(self) -> bool:
        """Wait until there is room below; return False if stopped."""
        return await self._backlog.has_room() and not self._stopping.is_set()

    async def send(self, batch: Batch, change: StateChange) -> bool:
        """
        Send records on, and change the state they come from.

        Returns:
            Whether that was done; not if the state had changed by then.

        Delivery: all of it in one step, or nothing.
        """
        if not batch.records:
            return await self.change(change)
        steps = await self._chain.process(batch)
        steps[0].outcomes.state = change
        plan = self._planner.plan(Work(Unpacked(batch), steps))
        self._failed.add(plan)
        if plan.halt is not None:
            self._process.halt(plan.halt)
        settled = None if plan.halt is not None else await self._settled(plan.settlement)
        counts = settled is not None and not settled.stale
        for step in steps:
            step.end(() if counts else NO_ENTRIES)
        return counts

    async def change(self, change: StateChange) -> bool:
        """Change the state and nothing else; return whether that was done."""
        settled = await self._settled(Settlement(state=StateOf(*self._keys, change)))
        return settled is not None and not settled.stale

    async def _settled(self, settlement: Settlement) -> Settled | None:
        self.tried += 1
        client = self._process.client
        settled = await Backoff(self._what).unless_stopped(
            lambda: client.settle(settlement, group="", consumer=""), self._stopping
        )
        if settled is not None:
            self._backlog.note(settled)
        return settled
