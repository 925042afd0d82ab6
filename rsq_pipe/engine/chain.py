"""Chain: the stages that one worker runs: the one that reads, and those fused with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from time import monotonic
from typing import cast

import msgspec

from rsq_pipe.engine.call_times import CallTimes
from rsq_pipe.engine.packing import CROWDED, PACK_RECORDS, Port, Written
from rsq_pipe.errors import EncodeError, without_frames
from rsq_pipe.ids import branch
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import (
    NOT_CALLED,
    Emitted,
    Failure,
    Outcomes,
    Reject,
    Retry,
    add_part,
    chosen,
    placed,
)
from rsq_pipe.model.plain import Copies, are_plain, copied
from rsq_pipe.spec.fusing import STATEFUL, has_state
from rsq_pipe.spec.graph import Stage
from rsq_pipe.streams.serializers import JsonSerializer, Serializer
from rsq_pipe.telemetry.observer import BatchTrace, StageObserver
from rsq_pipe.verbs.call import Call
from rsq_pipe.verbs.verb import CallingVerb, StatefulVerb, Verb

AT_A_TIME = 0.02
"""Seconds that a pure verb may compute before the event loop runs heartbeats, reads and other stages."""

_UNKNOWN = 100
"""Records in the first call of a pure verb, while its time per record is unknown."""


@dataclass(frozen=True, slots=True)
class Link:
    """
    Hold one stage of a chain.

    Args:
        stage: The stage.
        verb: What it does.
        observer: Notified of its batches.
        ports: Port -> what writes its records, for ports that no stage of the chain reads.
        below: Port -> the stage of the chain that reads it.
        branch: What is appended to the id of a record that reaches the stage through the chain, if anything.
    """

    stage: Stage
    verb: Verb
    observer: StageObserver
    ports: Mapping[str, Port]
    below: Mapping[str, Link] = field(default_factory=dict)
    branch: str = ""

    is_watched: bool = field(init=False)
    """Whether its batches are traced or measured."""

    takes_all: bool = field(init=False)
    """Whether one call gets the whole batch: the verb has one state, or makes a call for each record."""

    is_skippable: bool = field(init=False)
    """
    Whether a stop may leave its records to the next run: it calls something outside. Not a stage with state:
    a record that comes back later could find its window closed.
    """

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_watched", type(self.observer) is not StageObserver)
        is_stateful = self.stage.verb in STATEFUL
        object.__setattr__(self, "takes_all", is_stateful or isinstance(self.verb, Call))
        object.__setattr__(self, "is_skippable", not (self.verb.pure or is_stateful))


class Step(msgspec.Struct):
    """
    Hold what one stage made of its batch.

    Args:
        link: The stage.
        batch: What it was given, with the contexts of its spans.
        trace: The trace of the batch.
        outcomes: The outcome of each record.
        written: Port -> the entries that hold its records, for ports that no stage of the chain reads.
        failing: Place -> the headers of a failed record, with its trace; filled on demand.
        dispositions: Place -> what becomes of a failed record; filled by the planner.
        reasons: Place -> why a failed record is dropped; filled by the planner.
        copies: Port -> its records, copied for a handler of the chain.
        excused: Place of a record that failed as one of many in a row -> milliseconds until it is handled
            again; that attempt does not count.
        part: Number of the part, if the worker's batch went through the chain in several.
    """

    link: Link
    batch: Batch
    trace: BatchTrace
    outcomes: Outcomes = msgspec.field(default_factory=Outcomes)
    written: dict[str, Written] = msgspec.field(default_factory=dict)
    failing: dict[int, Mapping[str, str]] = msgspec.field(default_factory=dict)
    dispositions: dict[int, str] = msgspec.field(default_factory=dict)
    reasons: dict[int, str] = msgspec.field(default_factory=dict)
    copies: dict[str, Copies] = msgspec.field(default_factory=dict)
    excused: Mapping[int, int] = msgspec.field(default_factory=dict)
    part: int = 0

    def end(self, lost: Container[int]) -> None:
        """End the batch's spans; `lost` are the places of deliveries that this worker did not settle."""
        for place, reason in self.reasons.items():
            self.outcomes.dropped.setdefault(reason, []).append(place)
        self.trace.end(self.outcomes, self.dispositions, lost)


class Chain:
    """
    Process batches with a stage and those fused with it.

    Args:
        first: The stage that reads, with all below it.
        form: The serializer for single records.
        times: Records how long each call of a verb takes.
    """

    def __init__(self, first: Link, form: Serializer, times: CallTimes | None = None) -> None:
        self.first = first
        self._form = form
        self._is_json = isinstance(form, JsonSerializer)
        self._times = times or CallTimes()
        self._record_seconds: dict[str, float] = {}  # by stage, as measured for pure verbs
        self.calls_each = isinstance(first.verb, Call)
        """Whether its first stage calls a handler for each record."""
        self._skips = False  # whether no more calls are begun
        self.skipped = 0
        """How many records were left without a call."""

    @property
    def has_state(self) -> bool:
        """Whether the stage that reads has state; no other stage of the chain has."""
        return has_state(self.first.stage)

    @property
    def looks_ahead(self) -> bool:
        """Whether its first stage, which has state, can process a batch before the last one is settled."""
        return cast("StatefulVerb", self.first.verb).looks_ahead

    def assume(self, steps: Sequence[Step] = ()) -> None:
        """Assume the state that these steps of a batch lead to; without steps, the stored state."""
        cast("StatefulVerb", self.first.verb).assume(steps[0].outcomes.state if steps else None)

    def links(self) -> Iterator[Link]:
        """Yield the stages, each before those below it."""
        waiting = [self.first]
        while waiting:
            link = waiting.pop()
            yield link
            waiting += link.below.values()

    def update(self, backlog: Mapping[str, int]) -> None:
        """Make packs that suit their readers, and compress them for crowded streams; `backlog` is by key."""
        for link in self.links():
            for port in link.ports.values():
                port.small = backlog.get(port.key, 0) >= CROWDED
                self._suit_callers(port)

    def _suit_callers(self, port: Port) -> None:
        """Make packs of as many records as suit the stages that call a handler for each."""
        if port.callers:
            port.most = self._times.together(port.callers, PACK_RECORDS)

    async def open(self) -> None:
        """Open every verb."""
        for link in self.links():
            await link.verb.open()

    async def close(self) -> None:
        """Close every verb, and end its open spans."""
        for link in self.links():
            link.observer.close()
            await link.verb.close()

    def skip_rest(self) -> None:
        """
        Begin no more calls of handlers, in this batch or another.

        The records left come back without having had an attempt, at the stage that did not get to them.
        """
        self._skips = True
        for link in self.links():
            if isinstance(link.verb, CallingVerb):
                link.verb.skip_rest()

    async def process(self, batch: Batch) -> list[Step]:
        """
        Pass a batch through the chain.

        Returns:
            What each stage that got records made of them, in the order of the chain.

        Raises:
            HandlerError: A stage cannot go on; no record is to blame.

        Cancellation: handlers are abandoned; nothing has been written.
        """
        steps: list[Step] = []
        waiting = [(self.first, batch)]
        since = monotonic()
        try:
            while waiting:
                link, part = waiting.pop()
                trace = link.observer.begin(part) if link.is_watched else BatchTrace(part)
                step = Step(link, trace.batch, trace)
                steps.append(step)
                if self._skips and link.is_skippable:
                    step.outcomes = _not_called(len(step.batch))
                elif link.takes_all:
                    began = monotonic()
                    step.outcomes = await link.verb.process(step.batch)
                    self._times.lasted[link.stage.name].append(monotonic() - began)
                else:
                    step.outcomes = await self._handled_in_parts(link, step.batch)
                if self._skips:
                    self._excuse(step)
                failed = self._write(step)
                if failed and step.outcomes.state is not None:
                    await self._handle_without(step, failed)
                if link.below:
                    waiting += self._handed_on(step)
        except BaseException:
            for step in steps:
                step.trace.close()
            raise
        if self.calls_each and batch.records:
            # A slower batch counts at once, a faster one only gradually.
            each, name = self._times.each, self.first.stage.name
            each[name] = max((monotonic() - since) / len(batch.records), each.get(name, 0.0) / 2)
        return steps

    def _excuse(self, step: Step) -> None:
        """Have the records that were not called come back at once, with as many attempts as before."""
        step.excused = {place: 0 for place, why in step.outcomes.failed.items() if why is NOT_CALLED}
        self.skipped += len(step.excused)

    async def _handled_in_parts(self, link: Link, batch: Batch) -> Outcomes:
        """
        Call a verb as often as it takes to handle a batch.

        User code gets at most `batch.size` records per call. Pure verbs compute on the event loop, and get
        no more than they handle within `AT_A_TIME`.
        """
        verb, name, count = link.verb, link.stage.name, len(batch.records)
        whole, start = Outcomes(done=[]), 0
        while True:
            per_record = self._record_seconds.get(name)
            size = _UNKNOWN if per_record is None else max(1, int(AT_A_TIME / max(per_record, 1e-9)))
            if not verb.pure:
                size = link.stage.batch_size
            part = (
                batch if count <= size and not start else batch.only(range(start, min(start + size, count)))
            )
            began = monotonic()
            outcomes = await verb.process(part)
            seconds = monotonic() - began
            self._times.lasted[name].append(seconds)
            if verb.pure and part.records:
                # A slower call changes the estimate at once, a faster one only gradually.
                before = self._record_seconds.get(name, 0.0)
                self._record_seconds[name] = max(seconds / len(part.records), before / 2)
            if part is batch:
                return outcomes
            add_part(whole, outcomes, start)
            start += len(part)
            await asyncio.sleep(0)
            if self._skips and link.is_skippable:
                add_part(whole, _not_called(count - start), start)
                start = count
            if start >= count:
                return whole

    async def _handle_without(self, step: Step, failed: Mapping[int, EncodeError]) -> None:
        """Handle the batch again without the failed records, which must not change the stage's state."""
        bad = dict(failed)
        while failed:
            left = [place for place in range(len(step.batch)) if place not in bad]
            step.written.clear()
            step.copies.clear()
            found = await step.link.verb.process(step.batch.only(left)) if left else Outcomes()
            step.outcomes = placed(found, left)
            failed = self._write(step)
            bad |= failed
        step.outcomes.failed |= _failures(bad)
        step.outcomes.failed = dict(sorted(step.outcomes.failed.items()))

    def _write(self, step: Step) -> dict[int, EncodeError]:
        """
        Encode the records for the streams, and check that the others could be encoded; failures show here.

        Returns:
            The places of the records that cannot be encoded, or whose children cannot, with the error.
        """
        bad: dict[int, EncodeError] = {}
        for port, emitted in step.outcomes.emitted.items():
            below = step.link.below.get(port)
            if below is not None:
                # A handler may modify its records: it gets copies, and the encoded bytes are kept.
                copies = None if below.verb.pure or not self._is_json else copied(emitted.records)
                if copies is not None:
                    step.copies[port] = copies
                    continue
                wrong = self._made_plain(emitted, step.link.verb.changed)
            else:
                # A number that came from a stream unchanged cannot be NaN: only changed fields are checked.
                changed = step.link.verb.changed
                finite = changed is not None and (not changed or are_plain(emitted.records, changed))
                to = step.link.ports[port]
                if to.callers and to.most < PACK_RECORDS:  # most turn out to be quick with their first batch
                    self._suit_callers(to)
                step.written[port] = to.write(emitted, finite=finite)
                wrong = step.written[port].bad
            bad |= {emitted.sources[place]: error for place, error in wrong.items()}
        if not bad:
            return bad
        step.outcomes.failed |= _failures(bad)
        # In the records' order, like everything else.
        step.outcomes.failed = dict(sorted(step.outcomes.failed.items()))
        # A record that became several fails as a whole: none of its children goes on.
        for port, copies in step.copies.items():
            step.outcomes.emitted[port].records = copies.records
        step.copies.clear()
        for port, emitted in step.outcomes.emitted.items():
            keep = [place for place, source in enumerate(emitted.sources) if source not in bad]
            step.outcomes.emitted[port] = chosen(emitted, keep)
            if port in step.written:
                step.written[port] = step.link.ports[port].write(step.outcomes.emitted[port])
        return bad

    def _made_plain(self, emitted: Emitted, changed: Collection[str] | None) -> dict[int, EncodeError]:
        """Turn records into what they would be if read from a stream; only changed fields are checked."""
        bad: dict[int, EncodeError] = {}
        # Nearly every batch returns here.
        if (changed is not None and not changed) or self._are_plain(emitted, changed):
            return bad
        encode, decode = self._form.encode, self._form.decode
        for place, record in enumerate(emitted.records):
            try:
                emitted.records[place] = decode(encode(record))
            except EncodeError as exc:
                bad[place] = exc
        return bad

    def _are_plain(self, emitted: Emitted, changed: Collection[str] | None) -> bool:
        return are_plain(emitted.records, changed, any_size=self._is_json)

    def _handed_on(self, step: Step) -> list[tuple[Link, Batch]]:
        """Return the batches for the stages below, in reverse order."""
        return [
            (below, self._batch_of(step.batch, emitted, below, step.copies.get(port)))
            for port, below in reversed([*step.link.below.items()])
            if (emitted := step.outcomes.emitted.get(port))
        ]

    def _batch_of(self, batch: Batch, emitted: Emitted, below: Link, copies: Copies | None) -> Batch:
        records, origins, sources = emitted.records, batch.origins, emitted.sources
        encode = self._form.encode
        original: Callable[[int], bytes]
        if below.verb.pure:
            original = lambda place: encode(records[place])  # noqa: E731
        elif copies is not None:
            single = cache(copies.singles)  # the bytes are needed for few batches only
            records, original = copies.records, lambda place: single()[place]
        else:
            # A handler may modify its record. So the encoded bytes are kept and it gets a copy: the handler
            # above may have emitted the same record twice, or may keep a reference to it.
            original = [encode(record) for record in records].__getitem__
            records = [record.copy() for record in records]
        name = below.branch
        return Batch(
            records,
            [branch(rid, name) for rid in emitted.rids] if name else emitted.rids,
            origins if sources == range(len(batch)) else [origins[source] for source in sources],
            batch.deliveries,
            emitted.headers,
            original=original,
        )


def _not_called(count: int) -> Outcomes:
    return Outcomes(failed=dict.fromkeys(range(count), NOT_CALLED))


def _failures(bad: Mapping[int, EncodeError]) -> dict[int, Failure | Retry | Reject]:
    return {place: Failure(without_frames(error), retryable=False) for place, error in bad.items()}
