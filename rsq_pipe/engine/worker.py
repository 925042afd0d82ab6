"""Worker: the whole way of a batch, from the read to the settlement."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from operator import attrgetter

import structlog

from rsq_pipe.engine.backlog import Backlog
from rsq_pipe.engine.failures.failing import too_many_keys
from rsq_pipe.engine.failures.failure_log import FailureLog
from rsq_pipe.engine.intake import FOR_EVER, consumer, deliveries
from rsq_pipe.engine.links import chain
from rsq_pipe.engine.pauses.guarded import GuardedChain
from rsq_pipe.engine.pauses.read_pause import ReadPause
from rsq_pipe.engine.pauses.uncounted_deliveries import UncountedDeliveries
from rsq_pipe.engine.plan import Plan, Work
from rsq_pipe.engine.planner import Planner
from rsq_pipe.engine.process import Process
from rsq_pipe.engine.rate_limiter import RateLimiter
from rsq_pipe.engine.state.state import PipelineState
from rsq_pipe.engine.state.stored_state import StoredState
from rsq_pipe.engine.unread import Unread
from rsq_pipe.errors import HandlerError
from rsq_pipe.spec.graph import Stage
from rsq_pipe.streams.consumer import StreamConsumer
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.settlement import Settled
from rsq_pipe.streams.waiting import ended

_DELIVERIES = attrgetter("deliveries")


class StageWorker:
    """
    Run a stage, and those fused with it, on the batches of one consumer.

    Args:
        process: What the stages of this process share.
        stage: The stage that reads; not a source or a sink.
    """

    def __init__(self, process: Process, stage: Stage) -> None:
        graph = process.graph
        self._process = process
        self._state = StoredState(process.client, graph.pipeline, stage)
        self._chain = chain(
            *(graph, stage, process.names, process.observer),
            state=self._state,
            client=process.client,
            times=process.times,
        )
        process.tables.watch(self._chain.links())
        if self._chain.calls_each:
            process.times.each.setdefault(stage.name, 0.0)
        uncounted = UncountedDeliveries(process.client, stage.name, self._consumer_name)
        self._guarded = GuardedChain(self._chain, process.pauses, process.isolation, uncounted)
        self._planner = Planner(graph, stage)
        stages = [link.stage for link in self._chain.links()]
        self._unread = Unread(graph, stage, self._chain.first.observer, stages)
        self._log = structlog.get_logger("rsq_pipe").bind(pipeline=graph.pipeline)
        self._failed = FailureLog(self._log)
        self._stage, self._stages = stage, stages
        self._backlog = Backlog(process, [one.name for one in stages])
        self._read_pause = ReadPause()
        self._backlog.control(self._read_pause.because("full"))
        self._rate_limiter = RateLimiter(process, stage, self._read_pause, uncounted=uncounted)
        process.holds.watch([one.name for one in stages], self._read_pause)
        self._consumer: StreamConsumer | None = None
        self._stopped = False
        self._settlement: asyncio.Future[None]  # the last one begun; set by `run`
        self._has_state = self._chain.has_state
        self._processing = asyncio.Lock()  # a batch settled too late is processed while the next is
        # Whether a batch is read and handled while the one before is settled. Not if an entry may be
        # delivered only once: it must not be in flight when another record kills the worker. Not if the
        # stage stops at a failed record or at too many dead letters: nothing after that may be begun. And
        # not with a `rate`: what may not be handled yet is not read.
        self._ahead = (
            1 < deliveries(stage, stages) < FOR_EVER
            and all(one.dead_letters is None for one in stages)
            and process.rates.limits[stage.name] is None
        )

    async def run(self) -> None:
        """
        Work until `stop`.

        Raises:
            StreamError: An error that waiting does not fix: a lost group, a key of the wrong type.

        Delivery: each record is committed once per stage; handlers may see one more than once.
        Cancellation: running verbs are abandoned and their entries are handed back.
        """
        # A new one each time: a consumer that has ended, for example by an error, cannot read again.
        quick = self._ahead and not self._has_state
        self._consumer = consumer(
            *(self._process, self._stage),
            fused=self._stages,
            quick=quick,
            calls_each=self._chain.calls_each,
        )
        self._read_pause.control(self._consumer)
        self._rate_limiter.start()
        if self._stopped:
            self._consumer.stop()
        await self._chain.open()
        self._settlement = ended()
        limits = self._process.rates.limits
        try:
            async with aclosing(self._consumer.batches(ahead=self._ahead)) as batches:
                try:
                    async for entries in batches:  # paused while a stream below is full, or by `rate`
                        if limits[self._stage.name] is None or await self._rate_limiter.begin(entries):
                            await self._handle(entries)
                finally:
                    self._consumer.stop()
                    await self._settlement
        finally:
            await self._rate_limiter.end()
            self._unread.flush()
            self._failed.close()
            if self._chain.skipped:
                what = "left to the next run: no more handlers are called in the second half of drain_timeout"
                self._log.info(what, stage=self._stage.name, records=self._chain.skipped)
            await self._chain.close()

    async def _handle(self, entries: Sequence[RawEntry]) -> None:
        """
        Process a batch while the one before is settled, and settle it while the next is processed.

        If the stage cannot go on, the batch stays pending.
        """
        breakers = self._guarded.breakers
        try:
            if self._has_state and (self._settlement.done() or not self._chain.looks_ahead):
                await self._settlement
                self._chain.assume()
            refused = self._state.refused
            unpacked = self._unread.unpacker.unpack(entries)
            async with self._processing:
                if not unpacked.batch.records:
                    steps = []
                elif not all(breaker.is_calm for breaker in breakers):
                    steps = await self._guarded.process(unpacked.batch)
                else:
                    steps = await self._chain.process(unpacked.batch)
                    failed = any(step.outcomes.failed for step in steps)
                    if failed or not all(breaker.is_calm for breaker in breakers):  # no longer calm
                        self._guarded.update_breakers(steps)
            is_read = not (unpacked.unread or unpacked.returned)
            work = Work(unpacked, steps, *(() if is_read else self._unread.outputs(unpacked, entries)))
            await self._settlement  # of the batch before
            if self._state.refused != refused:
                work = await self._process_again(work, work.portion)
            if self._has_state:
                self._chain.assume(work.steps)
            if not self._backlog.is_open:
                await self._until_room()
            self._settlement = asyncio.ensure_future(self._settle(work))
            if not self._ahead or max(map(_DELIVERIES, entries)) > 1:
                await self._settlement
            else:
                # The next batch may be there already. If handling it only computes, the settlement would not
                # be sent before that is done, and the server would be idle until then.
                await asyncio.sleep(0)  # lets its task run
                await asyncio.sleep(0)  # and that of `uninterrupted`
        except HandlerError as exc:  # not because of a record
            self._process.halt(exc)

    async def _settle(self, work: Work, lost: frozenset[int] = frozenset()) -> None:
        """
        Settle the results of a batch, without the entries that belong to another worker by now.

        If that fails, nothing more is read, and the error is raised where the settlement is awaited.
        """
        assert self._consumer is not None
        todo = [work.portion]
        try:
            while todo:
                portion = todo.pop() - lost
                plan = self._planner.plan(work, portion)
                if plan.is_large and len(portions := self._planner.portions(work, portion)) > 1:
                    if work.changes_state:
                        await self._settle_in_turn(work, portions, lost)
                        return
                    todo += reversed(portions)
                    continue
                if plan.is_void:
                    lost |= self._log_failures(plan)
                else:
                    settled = await self._consumer.settle(plan.settlement)
                    self._backlog.note(settled)
                    if self._has_state:
                        self._changed_state(plan, settled)
                    if not (settled.stale or settled.gone):
                        if plan.failures:
                            lost |= self._log_failures(plan)
                        continue
                    lost |= work.places(settled.gone)
                work = await self._process_again(work, portion - lost)
                todo.append(portion)
            if work.dead_letters or any(step.link.is_watched or step.dispositions for step in work.steps):
                self._report(work, lost)
        except BaseException:
            self._consumer.stop()
            raise

    async def _settle_in_turn(
        self, work: Work, portions: Sequence[frozenset[int]], lost: frozenset[int]
    ) -> None:
        """Settle parts of a batch that change the state, each based on the state left by the one before."""
        for part in portions:
            await self._settle(await self._process_again(work, part), lost)

    def _changed_state(self, plan: Plan, settled: Settled) -> None:
        """Notify those who wait for a change of the stage's state; a full state ends the run."""
        self._process.settled[self._stage.name].set()
        if settled.full and plan.settlement.state is not None:
            raise too_many_keys(self._stage, plan.settlement.state.change.most)

    def _report(self, work: Work, lost: frozenset[int]) -> None:
        """Report a settled batch to its observers, and wake up the promoters of its retries."""
        for step in work.steps:
            if step.link.is_watched:
                step.end(lost)
            if "retried" in step.dispositions.values():
                self._process.retried[step.link.stage.name].set()
        if work.dead_letters:
            self._unread.settled(work, lost)

    async def _process_again(self, work: Work, portion: frozenset[int]) -> Work:
        """Process the rest of a batch again if its chain has state, which may have changed."""
        if not self._has_state:
            return work
        self._state.refused += 1
        for step in work.steps:
            step.trace.close()
        left = work.left(portion)
        async with self._processing:
            self._chain.assume()
            return work.again(await self._guarded.process(left) if left.records else [], portion)

    def _log_failures(self, plan: Plan) -> frozenset[int]:
        """Log records that failed for good, and halt if a stage has to stop; return what stays pending."""
        if plan.failures:
            self._failed.add(plan)
        if plan.halt is not None:
            self._keep_delivery_counts()
            self._process.halt(plan.halt)
        return plan.halted

    def _keep_delivery_counts(self) -> None:
        """Keep the delivery counts, so that the pack whose record stops the stage is split next time."""
        if self._consumer is not None:
            self._consumer.hands_back_uncounted = False

    async def _until_room(self) -> None:
        """Wait until a full stream below has room again, or the worker is to stop."""
        async with self._process.isolation.suspended():  # nothing is being handled in the meantime
            await self._backlog.has_room()

    def stop(self) -> None:
        """Finish the batch in flight, settle it, and return from `run`."""
        self._stopped = True
        if self._consumer is not None:
            self._consumer.stop()
        self._guarded.stop()
        self._state.stop()
        self._backlog.stop()
        self._rate_limiter.stop()

    def skip_rest(self) -> None:
        """Call no more handlers: what is done is settled, and the rest is left to the next run."""
        self._chain.skip_rest()

    @property
    def has_room(self) -> bool:
        """Whether no stream below is full."""
        return self._backlog.is_open

    def update(self, state: PipelineState) -> None:
        """Update from the pipeline's state."""
        self._backlog.update(state)
        self._chain.update(state.backlog)

    def _consumer_name(self) -> str:
        """Return the name of the consumer whose pending entries it holds."""
        assert self._consumer is not None
        return self._consumer.config.worker_name
