"""Draft: a plan in the making, to which each stage of a chain adds what its records become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rsq_pipe.engine.chain import Step
from rsq_pipe.engine.failing import Fault, Means, fault, reason_of
from rsq_pipe.engine.packing import Written
from rsq_pipe.engine.plan import Plan
from rsq_pipe.model.delivery import Delivery
from rsq_pipe.model.outcome import Emitted, Reject
from rsq_pipe.model.state import StateChange
from rsq_pipe.streams.dead_letter import writable
from rsq_pipe.streams.headers import RID
from rsq_pipe.streams.settlement import MAX_REASON, Output, Part, RetryAt, StateOf


@dataclass(slots=True)
class Draft:
    """
    Collect what a settlement writes and counts.

    Args:
        plan: What is being made; its failures are filled.
        packed: Stream -> the field that counts the records written to it, of those that are counted.
    """

    plan: Plan
    packed: Mapping[str, str]
    entries: Sequence[Delivery] = ()
    outputs: list[Output] = field(default_factory=list)
    retries: list[RetryAt] = field(default_factory=list)
    dead: list[Output] = field(default_factory=list)
    notes: list[Output] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    drops: dict[str, dict[str, int]] = field(default_factory=dict)
    state: StateOf | None = None
    _means: Means | None = None
    _step: Step | None = None

    def part(self) -> Part:
        """Return what is to be written."""
        return Part(self.entries, self.outputs, self.retries, self.dead, notes=self.notes)

    def begin(self, means: Means, step: Step | None = None) -> None:
        """Go on with a stage: with what it made of its batch, or with what is to be said of entries."""
        self._means, self._step = means, step

    def count(self, what: str, amount: int) -> None:
        """Add to one of the stage's counters."""
        if amount:
            name = f"{self.means.stage.name}:{what}"
            self.counts[name] = self.counts.get(name, 0) + amount

    def emit(self, emitted: Emitted, written: Written | None, stream: str) -> None:
        """Add records that go on; to a stream, or where nothing was written to a stage of the same chain."""
        self.count("out", len(emitted))
        if written is not None:
            self.outputs += written.outputs
            name = self.packed.get(stream)
            if name is not None:
                self.counts[name] = self.counts.get(name, 0) + len(emitted)
        if self._journals:
            for place in dict.fromkeys(emitted.sources):
                self._note(place, "emitted")

    def deliver(self, places: Sequence[int]) -> None:
        """Add records that have left the pipeline."""
        self.count("out", len(places))
        for place in places if self._journals else ():
            self._note(place, "emitted")

    def store(self, places: Sequence[int]) -> None:
        """Add records that have gone into the stage's state."""
        self.count("stored", len(places))
        for place in places if self._journals else ():
            self._note(place, "stored")

    def change(self, change: StateChange) -> None:
        """Add what the batch makes of the stage's state."""
        self.state = StateOf(self.means.state, self.means.timers, change)

    def drop(self, places: Sequence[int], reason: str) -> None:
        """Add records that end here."""
        self.count("dropped", len(places))
        if places:
            reasons = self.drops.setdefault(self.means.drops, {})
            reasons[reason] = reasons.get(reason, 0) + len(places)
        for place in places if self._journals else ():
            self._note(place, "dropped", reason)

    def miss(self, places: Sequence[int], key: str) -> None:
        """Count records for whose key nothing was found, whatever becomes of them."""
        if places:
            keys = self.drops.setdefault(self.means.unknown, {})
            keys[key] = keys.get(key, 0) + len(places)

    def fail(self, place: int) -> None:
        """Add a record that failed."""
        step, means = self.step, self.means
        outcome = step.outcomes.failed[place]
        found = fault(outcome, means.stage.name)
        if not isinstance(outcome, Reject) and not means.is_final(step, place):
            self.count("retried", 1)
            self.retries.append(means.retry_at(step, place, found))
            self._end(place, "retried")
            return
        self._fail_for_good(place, found, rejected=isinstance(outcome, Reject))

    def _fail_for_good(self, place: int, found: Fault, *, rejected: bool) -> None:
        step, means = self.step, self.means
        reason = "rejected" if isinstance(found.error, str) else reason_of(found.error)
        self.plan.failures.append(means.failed(step, place))
        if means.stage.on_error == "drop" and not rejected:
            means.headers(step, place, found.error)
            step.reasons[place] = f"on_error: {reason}"
            step.fates[place] = "dropped"
            self.drop([place], step.reasons[place])
            return
        self.bury(means.dead_letter(step, place, found, reason))
        self._end(place, "dead-lettered")

    def bury(self, letter: Output) -> None:
        """Add a dead letter."""
        self.count("dead", 1)
        self.dead.append(letter)

    def _end(self, place: int, fate: str) -> None:
        self.step.fates[place] = fate
        if self._journals:
            self._note(place, fate)

    def _note(self, place: int, outcome: str, reason: str = "") -> None:
        """Note in the stage's journal what becomes of a record."""
        batch = self.step.batch
        attempt = str(batch.attempts_at(place) + 1)
        fields: list[str | bytes] = [RID, batch.rids[place], "outcome", outcome, "attempt", attempt]
        if reason:
            fields += ["reason", writable(reason)[:MAX_REASON]]
        self.notes.append(Output(self.means.journal, fields))

    @property
    def means(self) -> Means:
        """The stage's."""
        assert self._means is not None
        return self._means

    @property
    def step(self) -> Step:
        """What the stage made of its batch."""
        assert self._step is not None
        return self._step

    @property
    def _journals(self) -> bool:
        # A source's records are at their beginning: what became of them the next stages note.
        return self.plan.settlement.kept > 0 and self.means.stage.verb != "source"
