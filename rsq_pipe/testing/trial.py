"""Trial: one stage's verb on some messages, judged as the runtime judges, and nothing settled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rsq_pipe.errors import HandlerError
from rsq_pipe.runtime.verdict import Judge
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.stages.build import build
from rsq_pipe.streams.dead_letter import told
from rsq_pipe.streams.headers import WHY
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.serializers import Serializer
from rsq_pipe.streams.settlement import Output, Part
from rsq_pipe.telemetry.observer import StageObserver, headers_of
from rsq_pipe.testing.failed import Dead, Retried
from rsq_pipe.testing.stage_run import StageRun


class Trial(StageObserver):
    """
    Try a stage, once. As its judge's observer it learns why a record is retried, which no settlement says.

    Args:
        graph: The pipeline.
        stage: The stage; not a source or a sink.
        serializer: The pipeline's.
    """

    def __init__(self, graph: Graph, stage: Stage, serializer: Serializer) -> None:
        self._size = stage.batch_size
        self._verb = build(stage, root=graph.root, pipeline=graph.pipeline)
        self._serializer = serializer
        # A test that compares a delay wants the same one every time.
        steady = replace(stage, retry=replace(stage.retry, jitter=0.0))
        self._judge = Judge(graph, steady, serializer, observer=self)
        self._port_of = {ref.key(graph.pipeline): port for port, ref in stage.outputs.items()}
        self._errors: dict[str, str] = {}
        outputs: dict[str, list[dict[str, Any]]] = {port: [] for port in stage.outputs}
        headers: dict[str, list[dict[str, str]]] = {port: [] for port in stage.outputs}
        self._run = StageRun(stage.name, outputs, headers, dropped=[], retried=[], dead=[])

    async def run(self, messages: Sequence[StreamMessage]) -> StageRun:
        """Handle the messages batch by batch, until the stage halts or they are done."""
        halted: BaseException | None = None
        await self._verb.open()
        try:
            for start in range(0, len(messages), self._size):
                halted = await self._handle(messages[start : start + self._size])
                if halted is not None:
                    break
        except HandlerError as exc:  # not of a record: the stage cannot go on
            halted = exc
        finally:
            await self._verb.close()
        return replace(self._run, halted=halted)

    def failing(self, message: StreamMessage, error: BaseException | str) -> StreamMessage:
        """Keep why a record failed."""
        self._errors[message.id] = told(error)
        return message

    async def _handle(self, batch: Sequence[StreamMessage]) -> BaseException | None:
        verdict = self._judge.decide(batch, await self._verb.process(batch))
        messages = {message.id: message for message in batch}
        for part in verdict.settlement.parts:
            self._note(part, messages[part.entries[0].id])
        return verdict.halt

    def _note(self, part: Part, message: StreamMessage) -> None:
        # Decoded anew: the handler may have changed the one it got, and a dead letter has the original.
        record = self._serializer.decode(message.raw)
        for output in part.outputs:
            port = self._port_of[output.stream]
            self._run.ports[port].append(self._record(output))
            self._run.headers[port].append(headers_of(output.fields))
        if part.dropped:
            self._run.dropped.append(record)
        for retry in part.retries:
            self._run.retried.append(Retried(record, self._errors[message.id], retry.delay / 1000))
        for letter in part.dead:
            why = headers_of(letter.fields)
            self._run.dead.append(Dead(record, why[f"{WHY}reason"], why[f"{WHY}error"]))

    def _record(self, output: Output) -> dict[str, Any]:
        raw = output.fields[1]  # behind the name `data`
        assert isinstance(raw, bytes)
        record: dict[str, Any] = self._serializer.decode(raw)
        return record
