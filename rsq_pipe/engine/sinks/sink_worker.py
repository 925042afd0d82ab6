"""SinkWorker: writes a sink stage's records to its target; stores its position as it acknowledges them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from math import ceil
from time import monotonic

import structlog
from msgspec import Struct
from msgspec.structs import replace

from rsq_pipe.connectors.sink import Gather, Written
from rsq_pipe.engine.backlog import Backlog
from rsq_pipe.engine.chain import Link, Step
from rsq_pipe.engine.failures.failure_log import FailureLog
from rsq_pipe.engine.intake import consumer
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.ownership.free_lease import FreeLease
from rsq_pipe.engine.ownership.ownership import SECONDS, Ownership, Superseded
from rsq_pipe.engine.pauses.read_pause import ReadPause
from rsq_pipe.engine.plan import Work
from rsq_pipe.engine.planner import Planner
from rsq_pipe.engine.process import Process
from rsq_pipe.engine.rate_limiter import RateLimiter
from rsq_pipe.engine.sinks.late_entries import LateEntries
from rsq_pipe.engine.sinks.target import BegunAnewError, Target
from rsq_pipe.engine.state.state import PipelineState
from rsq_pipe.engine.unread import Unread
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Failure, Outcomes
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.consumer import StreamConsumer
from rsq_pipe.streams.entry import RawEntry, records_in
from rsq_pipe.streams.lease import Lease
from rsq_pipe.streams.settlement import Position
from rsq_pipe.streams.waiting import until
from rsq_pipe.streams.worker import worker_name
from rsq_pipe.verbs.passing import Pass

RECORDS = 5_000
"""Maximum records that are written, made durable and settled together."""


class _Put(Struct, frozen=True):
    """
    State that a batch was written, and counts once it is settled.

    Args:
        position: What is stored as it is settled; None if the target keeps none.
    """

    position: Position | None


class SinkWorker:
    """
    Run one sink stage. If the target allows only one writer, one process writes and the others stand by.

    Args:
        process: What the stages of this process share.
        stage: The sink stage.
    """

    def __init__(self, process: Process, stage: Stage) -> None:
        graph = process.graph
        self._process = process
        self._stage = stage
        ledger = process.ledgers.get(stage.name, "")
        self._target = Target(process.client, graph, stage, ledger=ledger, away=self._waits)
        process.pauses.watch(stage.name, self._target.call)
        observer = process.observer.stage(stage)
        self._link = Link(stage, Pass(), observer, {})
        self._planner = Planner(graph, stage)
        self._unread = Unread(graph, stage, observer, as_rows=self._target.as_rows)
        self._again_stream = Keyspace(graph.pipeline).again_stream(stage)
        self._late_entries = LateEntries()
        self._writes_no_more = False  # whether what is still read is left to the next reader
        self._superseded = False  # whether another process has become the writer
        self._must_reopen = False  # whether to read on as soon as the target has been opened again
        self._backlog = Backlog(process, ())  # for workers that wait for room above
        self._read_pause = ReadPause()
        self._gather = _gather(self._target, graph, stage)
        self._large_batch = min(self._gather.records // 2, graph.max_backlog // 4)
        self._rate_limiter = RateLimiter(process, stage, self._read_pause, self._gather.records)
        process.holds.watch([stage.name], self._read_pause)
        self._consumer: StreamConsumer | None = None
        self._consumer_name = worker_name(stage.name)
        self._stopping = asyncio.Event()
        self._log = structlog.get_logger("rsq_pipe").bind(pipeline=graph.pipeline, stage=stage.name)
        self._failure_log = FailureLog(self._log)
        self._owning: Ownership | None = None
        self.late = 0.0
        """Seconds to wait so that another process can be the first to write."""

    async def run(self) -> None:
        """
        Write until `stop`.

        Raises:
            SinkError: The target cannot be written; it holds everything that was acknowledged.

        Delivery: as the sink declares: a file holds each record once, even after a kill at any moment.
        Cancellation: a batch that is written but not settled is undone by the next process to open the sink.
        """
        if not self._target.exclusive:
            await self._write_on(0)
            return
        keys, target = Keyspace(self._process.graph.pipeline), self._target
        names = [target.shard(number) for number in range(target.writers or 1)]
        leases = [Lease(self._process.client, keys.lease(self._stage, name), SECONDS) for name in names]
        lease = FreeLease(leases)
        what, stand_by = f"sink {self._stage.name}", self._process.stand_by
        owning = self._owning = Ownership(lease, stand_by, what, self._stopping, late=self.late)
        await owning.hold(lambda epoch: self._write_on(epoch, lease.place))

    def stop(self) -> None:
        """Finish the batch in flight, settle it, and return from `run`."""
        self._stopping.set()
        self._rate_limiter.stop()
        if self._consumer is not None:
            self._consumer.stop()

    @property
    def name(self) -> str:
        """The stage's name."""
        return self._stage.name

    @property
    def is_one_of_all(self) -> bool:
        """Whether only one of the processes that run the stage writes."""
        return self._target.exclusive and self._target.writers <= 1

    @property
    def gathers(self) -> bool:
        """Whether it waits for more before it writes."""
        return self._gather.seconds > 0

    def flush(self) -> None:
        """Write what has gathered: nothing more will arrive."""
        if self._consumer is not None:
            self._consumer.flush()

    @property
    def has_room(self) -> bool:
        """Whether it may continue: always, as it has no stream below."""
        return True

    def update(self, state: PipelineState) -> None:
        """Do nothing: it waits for no stream below."""

    async def _write_on(self, epoch: int, shard: int = 0) -> None:
        self._superseded = False
        self._target.begin(epoch, shard)
        try:
            self._must_reopen = True
            while self._must_reopen and not self._superseded:
                self._writes_no_more = self._must_reopen = False
                await self._read_on()
        finally:
            self._unread.flush()
            self._failure_log.close()
            self._link.observer.close()
            # Even after a cancelled opening: its thread may hold the target by now.
            await self._target.close()
            if not self._stopping.is_set():  # a run that is being stopped reports it at its end
                self._waits("")
        if self._superseded:
            raise Superseded

    def _waits(self, why: str) -> None:
        """Report why the target does not answer; with an empty reason, that it answers again."""
        if why:
            since = self._target.call.failed_since(monotonic())
            self._process.pauses.waits(self._stage.name, why, since=since)
        else:
            self._process.pauses.works(self._stage.name)

    async def _read_on(self) -> None:
        """Open the target, and write everything that is read from then on."""
        try:
            if not await self._target.open(self._stopping):
                return
            self._consumer = consumer(
                self._process,
                self._stage,
                gather=self._gather,
                # Reading starts again after each outage of the target, with the same consumer.
                name=self._consumer_name,
            )
            self._read_pause.control(self._consumer)
            self._rate_limiter.start()
            if self._stopping.is_set():
                self._consumer.stop()
            async with aclosing(self._consumer.batches()) as batches:
                async for entries in batches:
                    # After an error nothing more is written.
                    if not self._writes_no_more and await self._rate_limiter.begin(entries):
                        await self._write_and_gather(entries)
        finally:
            self._consumer = None
            await self._rate_limiter.end()

    async def _write_and_gather(self, entries: Sequence[RawEntry]) -> None:
        began = monotonic()
        await self._write(entries)
        gathering = self._process.gathering
        seconds = gathering.pause(records_in(entries), self._large_batch, began=began, now=monotonic())
        if seconds and not self._stopping.is_set():
            await until(self._stopping, seconds)

    async def _write(self, entries: Sequence[RawEntry]) -> None:
        entries = self._late_entries.without(entries)
        if not entries:
            return
        unpacked = self._unread.unpacker.unpack(entries)
        trace = self._link.observer.begin(unpacked.batch)
        step = Step(self._link, trace.batch, trace)
        work = Work(unpacked, [step], *self._unread.outputs(unpacked, entries))
        try:
            if not await self._target.open(self._stopping):
                trace.close()
                return
            put = await self._put(step, entries) if step.batch.records else _Put(None)
            if put is None:
                trace.close()
                return
        except (SinkError, Superseded, BegunAnewError) as exc:
            trace.close()
            await self._give_up(exc)
        else:
            if await self._settle(work, step, put.position):
                self._late_entries.settled(entries)

    async def _put(self, step: Step, entries: Sequence[RawEntry]) -> _Put | None:
        """Write the batch; return None if stopped before it could be written."""
        assert self._consumer is not None
        began = monotonic()
        # Until it is settled, its entries must not be handed to another writer as if they were untouched.
        self._consumer.has_begun = self._target.writers > 0
        redelivered = any(entry.deliveries > 1 or entry.stream == self._again_stream for entry in entries)
        result = await self._target.write(step.batch, self._stopping, redelivered=redelivered)
        self._process.times.lasted[self._stage.name].append(monotonic() - began)
        if result is None:
            return None
        written, position = result
        step.outcomes = _outcomes(step.batch, written)
        return _Put(position)

    async def _settle(self, work: Work, step: Step, position: Position | None) -> bool:
        """Settle the batch, but for what others have taken over; return False if none of it counts."""
        assert self._consumer is not None
        portion = work.portion
        plan = self._planner.plan(work, portion, position)
        if plan.halt is not None:
            # None of what was written counts: the next writer truncates it.
            self._writes_no_more = True
            self._consumer.hands_back_uncounted = False  # a pack is split when it is delivered again
            step.end(portion)
            self._failure_log.add(plan)
            self._process.halt(plan.halt)
            return False
        settled = await self._consumer.settle(plan.settlement)
        self._backlog.note(settled)
        # What other workers have taken over is left to them. With a position it is all or nothing.
        while settled.gone and position is None:
            portion -= work.places(settled.gone)
            plan = self._planner.plan(work, portion)
            settled = await self._consumer.settle(plan.settlement)
            self._backlog.note(settled)
        if not settled.committed:
            # Part of the batch now belongs to another worker: what was written is truncated, and the rest of
            # the batch is delivered again.
            portion = frozenset()
            await self._open_again()
        elif position is not None:
            self._target.stored(position)
            self._consumer.has_begun = False
        lost = work.portion - portion
        step.end(lost)
        self._unread.settled(work, lost)
        if settled.committed:
            self._failure_log.add(plan)
        return bool(settled.committed)

    async def _open_again(self) -> None:
        """Truncate what was written but does not count, and check whether another process writes now."""
        if self._target.writers:
            await self._give_up(BegunAnewError())
            return
        try:
            await self._target.open(self._stopping)
        except (SinkError, Superseded) as exc:
            await self._give_up(exc)

    async def _give_up(self, exc: Exception) -> None:
        """End the reading only, the ownership if another process has taken over the target, or the run."""
        self._writes_no_more = True
        if self._consumer is not None:
            self._consumer.stop()
        if isinstance(exc, BegunAnewError):
            self._must_reopen = True
        elif isinstance(exc, Superseded) or not await self._target.is_writer():
            self._superseded = True
        else:
            if self._owning is not None and self._process.has_siblings:
                # Told to end only once this process has, they would go on with a target that an operator is
                # asked to mend: as in a new file, where the old one is to be put back.
                self._owning.leave()
            self._process.halt(exc)


def flush(roles: Iterable[object], state: PipelineState) -> None:
    """Make sinks that wait for more write what they have, if only they hold unsettled records."""
    sinks = (role for role in roles if isinstance(role, SinkWorker) and role.gathers)
    waiting = {role.name: role for role in sinks}
    for name in state.all_left_by(waiting):
        waiting[name].flush()


def _gather(target: Target, graph: Graph, stage: Stage) -> Gather:
    """Return how much it writes at once: at most half of what the stream above may hold, or that stops."""
    wished = target.gather or Gather(_even(target.most), stage.batch_wait)
    most = graph.max_backlog // 2 if target.gather else wished.records
    return replace(wished, records=max(1, min(wished.records, most)))


def _even(most: int | None) -> int:
    """Return how many records to write at once, so that full batches fill a target that takes `most`."""
    return RECORDS if most is None else most // ceil(most / RECORDS)


def _outcomes(batch: Batch, written: Written) -> Outcomes:
    failed = {place: Failure(error, retryable=False) for place, error in written.failures.items()}
    done = [place for place in range(len(batch)) if place not in failed] if failed else range(len(batch))
    return Outcomes(failed={**failed}, done=done)
