"""Planner: decides what becomes of a batch, purely from the results of its stages."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

from rsq_pipe.engine.chain import Step
from rsq_pipe.engine.count_fields import appended, packed, settled
from rsq_pipe.engine.failing import StagePolicy
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.plan import Plan, Work, size_of
from rsq_pipe.engine.settlement_builder import SettlementBuilder
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.settlement import Part, Position, Settlement

MAX_RECORDS = 10_000
"""Maximum records that one settlement of several entries writes: it blocks the server."""

MAX_BYTES = 8 * 1024 * 1024
"""Maximum bytes that one settlement of several entries writes, for the same reason."""


NO_ENTRIES = frozenset((0,))
"""The portion for records without entries, as from a source: in its batches place 0 stands for all."""


class Planner:
    """
    Plan the settlements of one worker.

    Args:
        graph: The pipeline.
        stage: The stage that reads: its groups are settled.
        draw: The random source for the jitter of retries.
    """

    def __init__(self, graph: Graph, stage: Stage, draw: random.Random | None = None) -> None:
        keys = Keyspace(graph.pipeline)
        self._stage = stage
        self._meta = keys.meta
        self._kept = graph.telemetry.journal
        draw = draw or random.Random()  # noqa: S311 (jitter is no secret)
        self._policy = cache(lambda name: StagePolicy.of(graph, graph.stage(name), draw, stage))
        own = map(keys.stream, stage.inputs)
        self._settled = {stream: settled(stage.name, stream) for stream in own if stream in packed(graph)}
        self._packed = {stream: appended(stream) for stream in packed(graph)}

    def plan(
        self, work: Work, portion: frozenset[int] = NO_ENTRIES, position: Position | None = None
    ) -> Plan:
        """
        Plan one settlement.

        Args:
            work: The batch.
            portion: Places of the deliveries, all unsettled and still owned. For records from a source there
                is only place 0, as in the batch's origins.
            position: A position stored in the same settlement.
        """
        plan = Plan(Settlement(position=position, kept=self._kept))
        if any(step.outcomes.failed for step in work.steps):
            self._find_halted(plan, work.steps, portion)
            if plan.halted and work.changes_state:
                plan.is_void = True
                return plan
            portion -= plan.halted
        if not portion:
            return plan
        builder = SettlementBuilder(plan, self._packed, self._policy(self._stage.name))
        for step in work.steps:
            # Records from a source, or leaving a stage's state, have not come in an entry.
            entered = bool(step.batch.deliveries) or step.link.stage is not self._stage
            builder.add(step, self._policy(step.link.stage.name), portion, entered=entered)
        builder.policy = self._policy(self._stage.name)
        if work.dead_letters or work.singles:
            self._add_unread(builder, work, portion)
        plan.is_large = builder.records > MAX_RECORDS or builder.size > MAX_BYTES
        deliveries, sizes = work.unpacked.batch.deliveries, work.unpacked.sizes
        whole = len(portion) >= len(deliveries)
        builder.entries = deliveries if whole else [deliveries[place] for place in sorted(portion)]
        for place in range(len(deliveries)) if self._settled else ():
            field = self._settled.get(deliveries[place].stream)
            if field is not None and (whole or place in portion):
                builder.counts[field] += sizes[place]
        plan.settlement.parts = [
            Part(
                builder.entries,
                builder.outputs,
                builder.retries,
                builder.dead,
                notes=builder.notes,
                rows=builder.rows,
            )
        ]
        counts = {name: amount for name, amount in builder.counts.items() if amount}
        plan.settlement.counts = {self._meta: counts} if counts else {}
        plan.settlement.drops = builder.drops
        plan.settlement.state = builder.state
        return plan

    def portions(self, work: Work, portion: frozenset[int]) -> list[frozenset[int]]:
        """Divide deliveries whose plan is too large into portions that are settled one after another."""
        found: list[list[int]] = [[]]
        records = size = 0
        weights = work.weights()
        for place in sorted(portion):
            own_records, own_size = weights[place]
            if found[-1] and (records + own_records > MAX_RECORDS or size + own_size > MAX_BYTES):
                found.append([])
                records = size = 0
            found[-1].append(place)
            records += own_records
            size += own_size
        return [*map(frozenset, found)]

    def _find_halted(self, plan: Plan, steps: Sequence[Step], portion: frozenset[int]) -> None:
        """Find the entries that stay pending because a stage stops at one of their records."""
        halted: set[int] = set()
        for step in steps:
            if step.link.stage.on_error != "stop":
                continue
            policy = self._policy(step.link.stage.name)
            for place in step.outcomes.failed:
                if step.batch.origins[place] in portion and policy.is_final(step, place):
                    plan.halt = plan.halt or policy.halt(step, place)
                    plan.failures.append(policy.failed(step, place))
                    halted.add(step.batch.origins[place])
        plan.halted = frozenset(halted)
        for step in steps if halted else ():
            origins = step.batch.origins
            step.dispositions |= {
                place: "halted" for place in step.outcomes.failed if origins[place] in halted
            }

    def _add_unread(self, builder: SettlementBuilder, work: Work, portion: frozenset[int]) -> None:
        """Add the dead letters of unreadable entries, and the records of packs that are split."""
        entered = bool(work.unpacked.batch.deliveries)
        for place, dead_letter in work.dead_letters.items():
            if place in portion or not entered:
                builder.counts[f"{self._stage.name}:in"] += int(entered)
                builder.add_dead_letter(dead_letter)
        for place, singles in work.singles.items():
            if place in portion:
                builder.outputs += singles
                builder.records += len(singles)
                builder.size += size_of(singles)
