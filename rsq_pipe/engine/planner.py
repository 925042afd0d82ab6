"""Planner: decides what becomes of a batch, from what the stages made of it alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

from rsq_pipe.engine.chain import Step
from rsq_pipe.engine.count_fields import appended, packed, settled
from rsq_pipe.engine.draft import Draft
from rsq_pipe.engine.failing import Means
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.packing import chosen
from rsq_pipe.engine.plan import Plan, Work
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.settlement import Position, Settlement

MAX_RECORDS = 10_000
"""Records that one settlement of several entries writes: the server serves nobody else meanwhile."""

MAX_BYTES = 8 * 1024 * 1024
"""Bytes that one settlement writes, likewise."""


NO_ENTRIES = frozenset((0,))
"""What a source brings comes in no entry; in its batches 0 stands for all of it."""


class Planner:
    """
    Plan for one worker.

    Args:
        graph: The pipeline.
        stage: The stage that reads: its groups are settled.
        draw: Where the jitter of retries comes from.
    """

    def __init__(self, graph: Graph, stage: Stage, draw: random.Random | None = None) -> None:
        keys = Keyspace(graph.pipeline)
        self._stage = stage
        self._meta = keys.meta
        self._kept = graph.telemetry.journal
        draw = draw or random.Random()  # noqa: S311 (jitter is no secret)
        self._means = cache(lambda name: Means.of(graph, graph.stage(name), draw, stage))
        own = map(keys.stream, stage.inputs)
        self._settled = {stream: settled(stage.name, stream) for stream in own if stream in packed(graph)}
        self._packed = {stream: appended(stream) for stream in packed(graph)}

    def portions(self, work: Work) -> list[frozenset[int]]:
        """Say which deliveries are settled together: all, unless they became too much for one settlement."""
        count = len(work.unpacked.batch.deliveries)
        records = sum(len(step.outcomes.failed) for step in work.steps)
        records += sum(len(step.outcomes.emitted[port]) for step in work.steps for port in step.written)
        records += sum(len(step.outcomes.stored) for step in work.steps)
        records += sum(map(len, work.singles.values()))
        size = sum(written.size for step in work.steps for written in step.written.values())
        size += work.state_size + sum(size for _, size in work.sizes_beside())
        if records <= MAX_RECORDS and size <= MAX_BYTES:
            return [work.portion] if count else []
        found: list[frozenset[int]] = []
        start, records, size = 0, 0, 0
        for place, (own_records, own_size) in enumerate(work.weights()):
            if place not in work.portion:
                continue
            if place > start and (records + own_records > MAX_RECORDS or size + own_size > MAX_BYTES):
                found.append(work.portion & frozenset(range(start, place)))
                start, records, size = place, 0, 0
            records += own_records
            size += own_size
        return [*found, work.portion & frozenset(range(start, count))]

    def plan(
        self, work: Work, portion: frozenset[int] = NO_ENTRIES, position: Position | None = None
    ) -> Plan:
        """
        Plan what is to be settled together.

        Args:
            work: The batch.
            portion: Places of the deliveries, none of them settled before, or another worker's by now. Where
                a source brings the records there is but one place, as in the batch's origins.
            position: A position that moves with it.
        """
        plan = Plan(Settlement(position=position, kept=self._kept))
        self._find_halted(plan, work.steps, portion)
        if plan.halted and work.changes_state:
            plan.is_void = True
            return plan
        portion -= plan.halted
        if not portion:
            return plan
        draft = Draft(plan, self._packed)
        for step in work.steps:
            draft.begin(self._means(step.link.stage.name), step)
            self._add(draft, step, portion)
            for key, places in step.outcomes.unknown.items():
                draft.miss([place for place in places if step.batch.origins[place] in portion], key)
        self._add_deliveries(draft, work, portion)
        plan.settlement.parts = [draft.part()]
        plan.settlement.counts = {self._meta: draft.counts} if draft.counts else {}
        plan.settlement.drops = draft.drops
        plan.settlement.state = draft.state
        return plan

    def _find_halted(self, plan: Plan, steps: Sequence[Step], portion: frozenset[int]) -> None:
        """Find the entries that stay pending since a stage stops at one of their records."""
        halted: set[int] = set()
        for step in steps:
            if step.link.stage.on_error != "stop":
                continue
            means = self._means(step.link.stage.name)
            for place in step.outcomes.failed:
                if step.batch.origins[place] in portion and means.is_final(step, place):
                    plan.halt = plan.halt or means.halt(step, place)
                    plan.failures.append(means.failed(step, place))
                    halted.add(step.batch.origins[place])
        plan.halted = frozenset(halted)
        for step in steps if halted else ():
            origins = step.batch.origins
            step.fates |= {place: "halted" for place in step.outcomes.failed if origins[place] in halted}

    def _add(self, draft: Draft, step: Step, portion: frozenset[int]) -> None:
        outcomes, batch = step.outcomes, step.batch
        if outcomes.state is not None:
            draft.change(outcomes.state)
        if len(portion) >= len(batch.deliveries):
            # Nearly always.
            self._count_in(draft, step, len(batch))
            for port, emitted in outcomes.emitted.items():
                draft.emit(emitted, step.written.get(port), step.link.key(port))
            for reason, places in outcomes.dropped.items():
                draft.drop(places, reason)
            draft.deliver(outcomes.done)
            draft.store(outcomes.stored)
            for place in outcomes.failed:
                draft.fail(place)
        else:
            self._add_some(draft, step, portion)

    def _add_some(self, draft: Draft, step: Step, portion: frozenset[int]) -> None:
        origins, outcomes = step.batch.origins, step.outcomes
        self._count_in(draft, step, sum(origin in portion for origin in origins))
        for port, emitted in outcomes.emitted.items():
            some = chosen(
                emitted, [at for at, place in enumerate(emitted.sources) if origins[place] in portion]
            )
            if some:
                written = step.link.ports[port].write(some) if port in step.written else None
                draft.emit(some, written, step.link.key(port))
        for reason, places in outcomes.dropped.items():
            draft.drop([place for place in places if origins[place] in portion], reason)
        draft.deliver([place for place in outcomes.done if origins[place] in portion])
        draft.store([place for place in outcomes.stored if origins[place] in portion])
        for place in outcomes.failed:
            if origins[place] in portion:
                draft.fail(place)

    def _count_in(self, draft: Draft, step: Step, records: int) -> None:
        # What a source brings, and what leaves a stage's state, has come in by no entry.
        if step.batch.deliveries or step.link.stage is not self._stage:
            draft.count("in", records)

    def _add_deliveries(self, draft: Draft, work: Work, portion: frozenset[int]) -> None:
        """Add what becomes of entries as such, and that their records are done."""
        draft.begin(self._means(self._stage.name))
        unpacked = work.unpacked
        entered = bool(unpacked.batch.deliveries)
        for place, letter in work.letters.items():
            if place in portion or not entered:
                draft.count("in", int(entered))
                draft.bury(letter)
        for place, singles in work.singles.items():
            if place in portion:
                draft.outputs += singles
        own = [(place, one) for place, one in enumerate(unpacked.batch.deliveries) if place in portion]
        draft.entries = [delivery for _, delivery in own]
        for place, delivery in own:
            field = self._settled.get(delivery.stream)
            if field is not None:
                draft.counts[field] = draft.counts.get(field, 0) + unpacked.sizes[place]
