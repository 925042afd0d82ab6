"""StageWorker: one consumer of one stage, whose handler asks a verb and judges its outcomes."""

from __future__ import annotations

import structlog

from rsq_pipe.errors import HandlerError
from rsq_pipe.runtime.codecs import serializer as serializer  # where others still look for it
from rsq_pipe.runtime.gate import Gate
from rsq_pipe.runtime.identity import Identity
from rsq_pipe.runtime.journal import StageJournal
from rsq_pipe.runtime.keyspace import Keyspace
from rsq_pipe.runtime.process import Process
from rsq_pipe.runtime.unseen import Unseen
from rsq_pipe.runtime.verdict import Judge, Verdict
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.stages.build import build
from rsq_pipe.streams.burial import BuryHook
from rsq_pipe.streams.config import ConsumerConfig
from rsq_pipe.streams.consumer import Handler, SettledHook, StreamConsumer
from rsq_pipe.streams.dead_letter import told
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.settlement import Counters, Settled, Settlement
from rsq_pipe.telemetry.observer import StageObserver
from rsq_pipe.telemetry.trace_context import names

BLOCK_MS = 2_000
"""Milliseconds one read waits; a stop does not wait for it."""


_FOR_EVER = 2**31
"""Deliveries of a record where `on_error: stop`: each run hands it out once more, and none may condemn it."""


class StageWorker:
    """
    Run a stage's verb on the batches of one consumer.

    Args:
        process: What the stages of this process share.
        stage: The stage; not a source or a sink.
        observer: Told of each batch.
    """

    def __init__(self, process: Process, stage: Stage, observer: StageObserver | None = None) -> None:
        graph = process.graph
        self._stage = stage
        self._halt = process.halt
        self._verb = build(stage, root=graph.root, pipeline=graph.pipeline)
        self._observer = observer or StageObserver()
        self._journal = StageJournal(graph, stage)
        self._judge = Judge(graph, stage, serializer(graph), observer=self._observer)
        self._log = structlog.get_logger("rsq_pipe").bind(pipeline=graph.pipeline, stage=stage.name)
        self._identity = Identity(graph, stage)
        self._unseen = Unseen(graph.pipeline, stage.name, self._identity, self._observer)
        self.consumer = consumer(process, stage, self._handle, self._settled, self._unseen.note)
        self.gate = Gate(self.consumer.pause, self.consumer.resume)

    async def run(self) -> None:
        """
        Work until `stop`.

        Raises:
            StreamError: What time does not mend: a lost group, a key of the wrong type.

        Cancellation: what the verb is doing is abandoned and its entries are handed back.
        """
        await self._verb.open()
        try:
            await self.consumer.run()
        finally:
            self._unseen.tell()
            self._observer.close()
            await self._verb.close()

    def stop(self) -> None:
        """Finish the batch in hand, settle it, and return from `run`."""
        self.consumer.stop()

    async def _handle(self, messages: list[StreamMessage]) -> Settlement:
        messages = self._observer.begin(self._identity.identified(messages))
        try:
            outcomes = await self._verb.process(messages)
        except HandlerError as exc:  # not of a record: the stage cannot go on, and no record is to blame
            self._halt(exc)
            return Settlement()
        verdict = self._judge.decide(messages, outcomes)
        if verdict.failures:
            self._tell(verdict)
        if verdict.halt is not None:
            self._halt(verdict.halt)
        self._journal.note(verdict.settlement, messages)
        self._observer.decided(verdict.settlement)
        return verdict.settlement

    def _settled(self, settlement: Settlement, settled: Settled) -> None:
        self._observer.settled(settlement, settled)
        self.gate.spend(sum(len(part.outputs) for part in settled.committed))

    def _tell(self, verdict: Verdict) -> None:
        first = verdict.failures[0]
        error = told(first)
        what = {"dlq": "dead-lettered", "drop": "dropped", "stop": "stopped at"}[self._stage.on_error]
        whose = {} if verdict.first is None else names(verdict.first)
        self._log.warning(f"{what} failed records", records=len(verdict.failures), first_error=error, **whose)


def consumer(
    process: Process, stage: Stage, handler: Handler, on_settled: SettledHook, on_bury: BuryHook
) -> StreamConsumer:
    """Make a stage's consumer: its inputs, its own `again` stream first, and its dead letters."""
    graph = process.graph
    keys = Keyspace(graph.pipeline)
    # What this pipeline wrote itself has no key twice; what comes from outside may.
    strict = any(ref.external for ref in stage.inputs)
    return StreamConsumer(
        process.client,
        keys.inputs(stage),
        ConsumerConfig(
            group=stage.name,
            dlq_stream=keys.dlq(stage),
            batch_size=stage.batch_size,
            batch_wait_ms=round(stage.batch_wait * 1000),
            block_ms=BLOCK_MS,
            min_idle_claim_ms=round(graph.reclaim_idle * 1000),
            max_deliveries=_FOR_EVER if stage.on_error == "stop" else stage.retry.deliveries,
            halt_on_fault=True,
            create_groups=False,  # the groundwork did; made anew here, one that was lost would begin at 0
        ),
        handler,
        serializer=serializer(graph, strict=strict),
        counters=Counters(keys.meta, f"{stage.name}:", keys.drops(stage)),
        on_settled=on_settled,
        on_bury=on_bury,
        quarantine=process.quarantine,
    )
