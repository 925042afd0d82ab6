"""Planner: decides what becomes of a batch, purely from the results of its stages."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from rsq_pipe.engine.chain import Step
from rsq_pipe.engine.failures.failing import Fault, StagePolicy, fault, reason_of
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.packing import Written
from rsq_pipe.engine.plan import Plan, Work, size_of
from rsq_pipe.engine.state.count_fields import appended, packed, settled
from rsq_pipe.model.delivery import Delivered
from rsq_pipe.model.outcome import NotCalled, Outcomes, Reject, chosen
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.dead_letter import writable
from rsq_pipe.streams.headers import RID
from rsq_pipe.streams.settlement import MAX_REASON, Output, Part, Position, RetryAt, Rows, Settlement, StateOf

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


def _part_of(step: Step, portion: frozenset[int]) -> tuple[Outcomes, dict[str, Written], int]:
    """Return the results for some deliveries only, encoded again, and how many records came in them."""
    origins, of, ports = step.batch.origins, step.outcomes, step.link.ports

    def own(places: Sequence[int]) -> list[int]:
        return [place for place in places if origins[place] in portion]

    emitted = {
        port: chosen(some, [at for at, place in enumerate(some.sources) if origins[place] in portion])
        for port, some in of.emitted.items()
    }
    written = {port: ports[port].write(emitted[port]) for port in step.written}
    part = Outcomes(
        emitted,
        {reason: own(places) for reason, places in of.dropped.items()},
        {place: of.failed[place] for place in own([*of.failed])},
        own(of.done),
        own(of.stored),
        of.state,
        {key: own(places) for key, places in of.unknown.items()},
    )
    return part, written, len(own(range(len(origins))))


@dataclass(slots=True)
class SettlementBuilder:
    """
    Collect the writes and counts of a settlement.

    Args:
        plan: The plan being made; its failures are filled.
        packed: Stream -> the field that counts the records written to it, if they are counted.
        policy: The keys and policies of the stage being added.

    Attributes:
        step: The results of that stage; set before any of it is added.
        records: Number of records it writes.
        size: Their bytes, approximately.
    """

    plan: Plan
    packed: Mapping[str, str]
    policy: StagePolicy
    entries: Sequence[Delivered] = ()
    outputs: list[Output] = field(default_factory=list)
    rows: list[Rows] = field(default_factory=list)
    retries: list[RetryAt] = field(default_factory=list)
    dead: list[Output] = field(default_factory=list)
    notes: list[Output] = field(default_factory=list)
    counts: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    drops: dict[str, dict[str, int]] = field(default_factory=dict)
    state: StateOf | None = None
    step: Step = field(init=False)
    records: int = 0
    size: int = 0

    def add(self, step: Step, policy: StagePolicy, portion: frozenset[int], *, entered: bool) -> None:
        """
        Add a stage's results for some deliveries.

        Args:
            step: The results.
            policy: The keys and policies of the stage.
            portion: Places of the deliveries.
            entered: Whether the records count as received by the stage.
        """
        self.step, self.policy = step, policy
        outcomes, written, came = step.outcomes, step.written, len(step.batch.records)
        if len(portion) < len(step.batch.deliveries):  # rarely
            outcomes, written, came = _part_of(step, portion)
        if entered:
            self.counts[f"{policy.stage.name}:in"] += came
        if outcomes.state is not None:
            self.state = StateOf(policy.state, policy.timers, outcomes.state)
            self.size += outcomes.state.size
        for port, emitted in outcomes.emitted.items():
            self.counts[f"{policy.stage.name}:out"] += len(emitted.records)
            if port in written:  # otherwise it goes to a stage of the same chain
                self.outputs += written[port].outputs
                self.rows += written[port].rows
                self.records += len(emitted.records)
                self.size += written[port].size
                if (name := self.packed.get(written[port].key)) is not None:
                    self.counts[name] += len(emitted.records)
            for place in dict.fromkeys(emitted.sources) if policy.journals else ():
                self._note(place, "emitted")
        if outcomes.dropped or outcomes.failed or outcomes.done or outcomes.stored or outcomes.unknown:
            self._add_others(outcomes)

    def _add_others(self, outcomes: Outcomes) -> None:
        """Add the records that go no further."""
        for reason, places in outcomes.dropped.items():
            self.drop(places, reason)
        for key, places in outcomes.unknown.items():
            self.miss(places, key)
        if outcomes.done:
            self.deliver(outcomes.done)
        if outcomes.stored:
            self.store(outcomes.stored)
        for place in outcomes.failed:
            self.fail(place)

    def deliver(self, places: Sequence[int]) -> None:
        """Add records that have left the pipeline."""
        self.counts[f"{self.policy.stage.name}:out"] += len(places)
        for place in places if self.policy.journals else ():
            self._note(place, "emitted")

    def store(self, places: Sequence[int]) -> None:
        """Add records that have become part of the stage's state."""
        self.counts[f"{self.policy.stage.name}:stored"] += len(places)
        self.records += len(places)
        for place in places if self.policy.journals else ():
            self._note(place, "stored")

    def drop(self, places: Sequence[int], reason: str) -> None:
        """Add records that end here."""
        self.counts[f"{self.policy.stage.name}:dropped"] += len(places)
        if places:
            reasons = self.drops.setdefault(self.policy.drops, {})
            reasons[reason] = reasons.get(reason, 0) + len(places)
        for place in places if self.policy.journals else ():
            self._note(place, "dropped", reason)

    def miss(self, places: Sequence[int], key: str) -> None:
        """Count records whose lookup key was not found, whatever becomes of them."""
        if places:
            keys = self.drops.setdefault(self.policy.unknown, {})
            keys[key] = keys.get(key, 0) + len(places)

    def fail(self, place: int) -> None:
        """Add a record that failed."""
        step, policy = self.step, self.policy
        outcome = step.outcomes.failed[place]
        found = fault(outcome, policy.stage.name)
        if isinstance(outcome, NotCalled):
            self._leave(place, found)
        elif not isinstance(outcome, Reject) and not policy.is_final(step, place):
            self.counts[f"{policy.stage.name}:retried"] += 1
            self.retries.append(policy.retry_at(step, place, found))
            self.records += 1
            self.size += size_of(self.retries[-1:])
            self._end(place, "retried")
        else:
            self._fail_for_good(place, found, rejected=isinstance(outcome, Reject))

    def _leave(self, place: int, found: Fault) -> None:
        """Write a record that was not called to the stage's own stream, from which it is read first."""
        # Nothing has become of it yet: it is received when it is called.
        self.counts[f"{self.policy.stage.name}:in"] -= 1
        left = self.policy.left(self.step, place, found)
        self.outputs.append(left)
        self.records += 1
        self.size += size_of([left])
        self.step.dispositions[place] = "uncalled"

    def _fail_for_good(self, place: int, found: Fault, *, rejected: bool) -> None:
        step, policy = self.step, self.policy
        reason = "rejected" if isinstance(found.error, str) else reason_of(found.error)
        self.plan.failures.append(policy.failed(step, place))
        if policy.stage.on_error == "drop" and not rejected:
            policy.headers(step, place, found.error)
            step.reasons[place] = f"on_error: {reason}"
            step.dispositions[place] = "dropped"
            self.drop([place], step.reasons[place])
            return
        self.add_dead_letter(policy.dead_letter(step, place, found, reason))
        self._end(place, "dead-lettered")

    def add_dead_letter(self, dead_letter: Output) -> None:
        """Add a dead letter."""
        self.counts[f"{self.policy.stage.name}:dead"] += 1
        self.dead.append(dead_letter)
        self.records += 1
        self.size += size_of([dead_letter])

    def _end(self, place: int, disposition: str) -> None:
        self.step.dispositions[place] = disposition
        if self.policy.journals:
            self._note(place, disposition)

    def _note(self, place: int, outcome: str, reason: str = "") -> None:
        """Note the outcome of a record in the stage's journal."""
        batch = self.step.batch
        attempt = str(batch.attempts_at(place) + 1)
        fields: list[str | bytes] = [RID, batch.rids[place], "outcome", outcome, "attempt", attempt]
        if reason:
            fields += ["reason", writable(reason)[:MAX_REASON]]
        self.notes.append(Output(self.policy.journal, fields))
