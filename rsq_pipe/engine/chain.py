"""Chain: the stages that one worker runs, from the one that reads to those fused with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, cast

from rsq_pipe.engine.call_times import CallTimes
from rsq_pipe.engine.codecs import packs, serializer
from rsq_pipe.engine.fusion import joined, only_computes
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.packing import CROWDED, PACK_RECORDS, Port, Written, chosen
from rsq_pipe.engine.slices import Slices
from rsq_pipe.errors import EncodeError, without_frames
from rsq_pipe.ids import branch
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Emitted, Failure, Outcomes, Reject, Retry, placed
from rsq_pipe.model.plain import Copies, are_plain, copied
from rsq_pipe.model.state import StateReader
from rsq_pipe.spec.branches import branches
from rsq_pipe.spec.fusing import has_state, runs_user_code
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.serializers import JsonSerializer, Serializer
from rsq_pipe.telemetry.observer import BatchTrace, Observer, StageObserver
from rsq_pipe.verbs.build import build
from rsq_pipe.verbs.passing import Pass
from rsq_pipe.verbs.verb import Remembering, Verb

if TYPE_CHECKING:
    from rsq_pipe.streams.client import StreamClient

_JSON_SOURCES = frozenset(("http", "jsonl", "csv"))
"""Sources that bring nothing but what JSON has a form for."""


@dataclass(frozen=True, slots=True)
class Link:
    """
    Hold one stage of a chain.

    Args:
        stage: The stage.
        verb: What it does.
        observer: Told of its batches.
        ports: Port -> how its records are written; of those that no stage of the chain reads.
        below: Port -> the stage of the chain that reads it.
        branch: What a record that comes to it through the chain adds to its id, if anything.
    """

    stage: Stage
    verb: Verb
    observer: StageObserver
    ports: Mapping[str, Port]
    below: Mapping[str, Link] = field(default_factory=dict)
    branch: str = ""

    def key(self, port: str) -> str:
        """Name the stream of a port; empty where a stage of the chain gets its records."""
        return self.ports[port].key if port in self.ports else ""


@dataclass(slots=True)
class Step:
    """
    Hold what one stage made of its batch.

    Args:
        link: The stage.
        batch: What it got, with the contexts of its spans.
        trace: Follows the batch.
        outcomes: What becomes of each record.
        written: Port -> the entries its records are written in; of ports that no stage of the chain reads.
        failing: Place -> the headers of a record that failed, with its trace; filled as they are asked for.
        fates: Place -> what becomes of a record that failed; filled as that is planned.
        reasons: Place -> why a record that failed is dropped; likewise.
        copies: Port -> its records, made anew for a handler of the chain.
        excused: Place of a record that failed as one of many in a row -> milliseconds until it is handled
            again; its attempt does not count.
        part: Which part of the worker's batch it is, where that went through the chain in several.
    """

    link: Link
    batch: Batch
    trace: BatchTrace
    outcomes: Outcomes = field(default_factory=Outcomes)
    written: dict[str, Written] = field(default_factory=dict)
    failing: dict[int, Mapping[str, str]] = field(default_factory=dict)
    fates: dict[int, str] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    copies: dict[str, Copies] = field(default_factory=dict)
    excused: Mapping[int, int] = field(default_factory=dict)
    part: int = 0

    def end(self, lost: Container[int]) -> None:
        """End the batch's spans; `lost` are the places of deliveries that this worker did not settle."""
        for place, reason in self.reasons.items():
            self.outcomes.dropped.setdefault(reason, []).append(place)
        self.trace.end(self.outcomes, self.fates, lost)


class Chain:
    """
    Process batches with a stage and those fused with it.

    Args:
        first: The stage that reads, with all below it.
        form: How single records are written.
        times: Told how long each call of a verb takes.
    """

    def __init__(self, first: Link, form: Serializer, times: CallTimes | None = None) -> None:
        self.first = first
        self._form = form
        self._is_json = isinstance(form, JsonSerializer)
        self._slices = Slices(times)

    @property
    def has_state(self) -> bool:
        """Whether the stage that reads remembers something; none of the others does."""
        return has_state(self.first.stage)

    @property
    def looks_ahead(self) -> bool:
        """Whether its first stage, which has a state, can process a batch before the last one is settled."""
        return cast("Remembering", self.first.verb).looks_ahead

    def assume(self, steps: Sequence[Step] = ()) -> None:
        """Take it that what it has made of a batch changes the state so; without steps, that nothing does."""
        cast("Remembering", self.first.verb).assume(steps[0].outcomes.state if steps else None)

    def links(self) -> Iterator[Link]:
        """Yield the stages, each before those below it."""
        waiting = [self.first]
        while waiting:
            link = waiting.pop()
            yield link
            waiting += link.below.values()

    def looked(self, backlog: Mapping[str, int]) -> None:
        """Write what goes to crowded streams small; `backlog` says how many records wait, by stream key."""
        for link in self.links():
            for port in link.ports.values():
                port.small = backlog.get(port.key, 0) >= CROWDED

    async def open(self) -> None:
        """Open every verb."""
        for link in self.links():
            await link.verb.open()

    async def close(self) -> None:
        """Close every verb, and end what is open of its spans."""
        for link in self.links():
            link.observer.close()
            await link.verb.close()

    async def process(self, batch: Batch) -> list[Step]:
        """
        Have a batch go through the chain.

        Returns:
            What each stage that got records made of them, in the chain's order.

        Raises:
            HandlerError: A stage cannot go on; no record is to blame.

        Cancellation: what handlers do is abandoned; nothing has been written.
        """
        steps: list[Step] = []
        try:
            await self._pass(self.first, batch, steps)
        except BaseException:
            for step in steps:
                step.trace.close()
            raise
        return steps

    async def _pass(self, link: Link, batch: Batch, steps: list[Step]) -> None:
        trace = link.observer.begin(batch)
        step = Step(link, trace.batch, trace)
        steps.append(step)
        step.outcomes = await self._slices.handled(link.stage, link.verb, step.batch)
        failed = self._write(step)
        if failed and step.outcomes.state is not None:
            await self._handle_without(step, failed)
        for port, below in link.below.items():
            emitted = step.outcomes.emitted.get(port)
            if emitted:
                copies = step.copies.get(port)
                await self._pass(below, self._handed_on(step.batch, emitted, below, copies), steps)

    async def _handle_without(self, step: Step, failed: Mapping[int, EncodeError]) -> None:
        """Have a stage with state handle its batch again without what failed, which leaves nothing in it."""
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
        Write what goes to streams, and see to it that the rest could be; what cannot has failed here.

        Returns:
            The places of the records of which something cannot, with why.
        """
        bad: dict[int, EncodeError] = {}
        for port, emitted in step.outcomes.emitted.items():
            below = step.link.below.get(port)
            if below is not None:
                # What a handler may change is its own, and its bytes are kept.
                copies = None if below.verb.pure or not self._is_json else copied(emitted.records)
                if copies is not None:
                    step.copies[port] = copies
                    continue
                wrong = self._made_plain(emitted, step.link.verb.changed)
            else:
                step.written[port] = step.link.ports[port].write(
                    emitted, finite=self._is_finite(step, emitted)
                )
                wrong = step.written[port].bad
            bad |= {emitted.sources[place]: error for place, error in wrong.items()}
        if not bad:
            return bad
        step.outcomes.failed |= _failures(bad)
        # As all else, in the records' order.
        step.outcomes.failed = dict(sorted(step.outcomes.failed.items()))
        # A record that became several fails as one: nothing of it goes on.
        for port, copies in step.copies.items():
            step.outcomes.emitted[port].records = copies.records
        step.copies.clear()
        for port, emitted in step.outcomes.emitted.items():
            keep = [place for place, source in enumerate(emitted.sources) if source not in bad]
            step.outcomes.emitted[port] = chosen(emitted, keep)
            if port in step.written:
                step.written[port] = step.link.ports[port].write(step.outcomes.emitted[port])
        return bad

    def _is_finite(self, step: Step, emitted: Emitted) -> bool:
        """Tell whether no number can be NaN; of what came out of a stream, only what was changed can be."""
        changed = step.link.verb.changed
        return changed is not None and (not changed or are_plain(emitted.records, changed))

    def _made_plain(self, emitted: Emitted, changed: Collection[str] | None) -> dict[int, EncodeError]:
        """Make records what they would be out of a stream; only what may have changed is looked at."""
        bad: dict[int, EncodeError] = {}
        # Nearly every batch ends here.
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

    def _handed_on(self, batch: Batch, emitted: Emitted, below: Link, copies: Copies | None) -> Batch:
        records, origins, sources = emitted.records, batch.origins, emitted.sources
        encode = self._form.encode
        original: Callable[[int], bytes]
        if below.verb.pure:
            original = lambda place: encode(records[place])  # noqa: E731
        elif copies is not None:
            single = cache(copies.singles)  # of few batches any bytes are asked for
            records, original = copies.records, lambda place: single()[place]
        else:
            # A handler may change the record it gets: its bytes are kept, and it gets one of its own, as the
            # handler above may have emitted one record twice, or keep it.
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


def chain(
    graph: Graph,
    stage: Stage,
    names: Collection[str],
    observer: Observer,
    *,
    state: StateReader | None = None,
    verb: Verb | None = None,
    client: StreamClient | None = None,
    times: CallTimes | None = None,
) -> Chain:
    """
    Make the chain of one worker, with verbs of its own.

    Args:
        graph: The pipeline.
        stage: The stage that reads; a source hands on what it brings.
        names: The stages that run in this process.
        observer: Asked for who follows each stage.
        state: What its first stage reads its state by, if that has one.
        verb: What its first stage does with the records, where that is not its own verb.
        client: The pipeline's server, for lookups in it.
        times: Told how long each call of a verb takes.

    Raises:
        HandlerNotFoundError, HandlerContractError: A handler cannot be used.
    """
    return Chain(
        _link(
            *(graph, stage, names, observer),
            computes_only=only_computes(stage),
            state=state,
            client=client,
            verb=verb,
        ),
        serializer(graph),
        times,
    )


def _link(
    graph: Graph,
    stage: Stage,
    names: Collection[str],
    observer: Observer,
    *,
    computes_only: bool,
    state: StateReader | None,
    client: StreamClient | None,
    verb: Verb | None = None,
) -> Link:
    below = joined(graph, stage, names, computes_only=computes_only)
    made = {}
    for port, reader in below.items():
        link = _link(graph, reader, names, observer, computes_only=computes_only, state=None, client=client)
        name = branches(graph, reader).get(stage.outputs[port], "")
        made[port] = Link(link.stage, link.verb, link.observer, link.ports, link.below, name)
    source = stage.verb == "source"
    if verb is None:
        verb = _entry(graph, stage) if source else _built(graph, stage, state, client)
    return Link(
        stage,
        verb,
        StageObserver() if source else observer.stage(stage),
        {port: _port(graph, stage, port) for port in stage.outputs if port not in below},
        made,
    )


def _failures(bad: Mapping[int, EncodeError]) -> dict[int, Failure | Retry | Reject]:
    return {place: Failure(without_frames(error), retryable=False) for place, error in bad.items()}


def _built(graph: Graph, stage: Stage, state: StateReader | None, client: StreamClient | None) -> Verb:
    form = serializer(graph)
    return build(stage, root=graph.root, pipeline=graph.pipeline, form=form, state=state, client=client)


class _Entry(Pass):
    """Hand on what a source brings, which may be anything."""

    changed = None


def _entry(graph: Graph, stage: Stage) -> Verb:
    plain = graph.serializer == "json" and getattr(stage.options, "type", "") in _JSON_SOURCES
    return Pass() if plain else _Entry()


def _port(graph: Graph, stage: Stage, port: str) -> Port:
    ref = stage.outputs[port]
    key, form = Keyspace(graph.pipeline).stream(ref), serializer(graph)
    if ref.external:
        return Port(key, form, max_record=graph.max_record)
    sizes = [reader.batch_size for reader in graph.readers(ref) if runs_user_code(reader)]
    bursts = [reader.rate.burst for reader in graph.readers(ref) if reader.rate is not None]
    most = min([PACK_RECORDS, *sizes, *bursts])
    return Port(key, form, packs(graph), most, graph.max_record)
