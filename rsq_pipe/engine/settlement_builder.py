"""SettlementBuilder: collects what the stages of a chain write and count, for one settlement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rsq_pipe.engine.chain import Step
from rsq_pipe.engine.failing import Fault, StagePolicy, fault, reason_of
from rsq_pipe.engine.packing import Written
from rsq_pipe.engine.plan import Plan, size_of
from rsq_pipe.model.delivery import Delivered
from rsq_pipe.model.outcome import Outcomes, Reject, chosen
from rsq_pipe.streams.dead_letter import writable
from rsq_pipe.streams.headers import RID
from rsq_pipe.streams.settlement import MAX_REASON, Output, RetryAt, Rows, StateOf


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
        if not isinstance(outcome, Reject) and not policy.is_final(step, place):
            self.counts[f"{policy.stage.name}:retried"] += 1
            self.retries.append(policy.retry_at(step, place, found))
            self.records += 1
            self.size += size_of(self.retries[-1:])
            self._end(place, "retried")
            return
        self._fail_for_good(place, found, rejected=isinstance(outcome, Reject))

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
