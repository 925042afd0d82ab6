"""StageTest: runs one stage's verb on some records and plans like the engine, settling nothing."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from msgspec.structs import replace

from rsq_pipe.engine.chain import Chain, Link, Step
from rsq_pipe.engine.failures.failing import too_many_keys
from rsq_pipe.engine.packing import Port, Unpacked
from rsq_pipe.engine.plan import Work
from rsq_pipe.engine.planner import Planner
from rsq_pipe.error_text import full_text
from rsq_pipe.errors import HandlerError
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Outcomes
from rsq_pipe.model.partials import unpacked
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.spec.stages.aggregate import Aggregation
from rsq_pipe.streams.headers import WHY
from rsq_pipe.streams.serializers import Serializer
from rsq_pipe.streams.settlement import Part, spelled_out
from rsq_pipe.telemetry.observer import BatchTrace, StageObserver, headers_of
from rsq_pipe.testing.runs import Dead, Retried, StageRun
from rsq_pipe.testing.state_in_memory import StateInMemory
from rsq_pipe.verbs.build import build
from rsq_pipe.verbs.windows.results import Group, Results
from rsq_pipe.verbs.windows.window_state import SESSIONS, window_end


class StageTest(StageObserver):
    """
    Run a stage once.

    As the observer of its batches it learns why a record is retried, which plans do not contain.

    Args:
        graph: The pipeline.
        stage: The stage; not a source or a sink.
        serializer: The pipeline's serializer.
    """

    def __init__(self, graph: Graph, stage: Stage, serializer: Serializer) -> None:
        # A test that compares a delay needs the same one every time.
        steady = replace(stage, retry=replace(stage.retry, jitter=0.0))
        self._graph, self._serializer = graph, serializer
        self._state = StateInMemory()
        verb = build(stage, root=graph.root, pipeline=graph.pipeline, form=serializer, state=self._state)
        ports = {port: Port(ref.key(graph.pipeline), serializer) for port, ref in stage.outputs.items()}
        self._size = stage.batch_size
        self._chain = Chain(Link(steady, verb, self, ports), serializer)
        alone = replace(
            graph, stages=tuple(steady if one.name == stage.name else one for one in graph.stages)
        )
        self._planner = Planner(alone, steady)
        self._port_of = {port.key: name for name, port in ports.items()}
        self._errors: dict[int, str] = {}
        outputs: dict[str, list[dict[str, Any]]] = {port: [] for port in stage.outputs}
        headers: dict[str, list[dict[str, str]]] = {port: [] for port in stage.outputs}
        self._run = StageRun(stage.name, outputs, headers, dropped=[], retried=[], dead=[])

    async def run(self, batch: Batch) -> StageRun:
        """Handle the records batch by batch, until the stage halts or they are done."""
        halted: BaseException | None = None
        await self._chain.open()
        try:
            for _, part in batch.slices(self._size):
                halted = await self._handle(part)
                if halted is not None:
                    break
            else:
                await self._end()
        except HandlerError as exc:  # not a record's error: the stage cannot go on
            halted = exc
        finally:
            await self._chain.close()
        return replace(self._run, halted=halted)

    async def _end(self) -> None:
        """End all input: records waiting in the stage's state leave it."""
        batch, outcomes = await _leaving(self._graph, self._chain.first.stage, self._state)
        for port, emitted in outcomes.emitted.items():
            encode, decode = self._serializer.encode, self._serializer.decode
            self._run.ports[port].extend(decode(encode(record)) for record in emitted.records)
            self._run.headers[port].extend({} for _ in emitted.records)
        for places in outcomes.dropped.values():
            self._run.dropped.extend(batch.records[place] for place in places)

    def begin(self, batch: Batch) -> BatchTrace:
        """Follow a batch, to learn why records fail."""
        self._errors.clear()
        return _Errors(batch, self._errors)

    async def _handle(self, batch: Batch) -> BaseException | None:
        (step,) = await self._chain.process(batch)
        work = Work(Unpacked(step.batch, [1] * len(batch.deliveries)), [step])
        plan = self._planner.plan(work, work.portion)
        if plan.is_void:  # a stage with state: the batch is settled without the records at which it stops
            rest = batch.only([at for at in range(len(batch)) if batch.origins[at] not in plan.halted])
            await self._handle(rest)
        if plan.settlement.state is not None and self._state.settle(plan.settlement.state.change):
            return too_many_keys(step.link.stage, plan.settlement.state.change.most)
        if plan.settlement.parts:
            self._note(step, plan.settlement.parts[0], plan.halted)
        return plan.halt

    def _note(self, step: Step, part: Part, halted: Container[int]) -> None:
        for output in spelled_out(part.outputs, part.rows):
            port = self._port_of[output.stream]
            self._run.ports[port].append(self._decoded(output.fields[1]))
            self._run.headers[port].append(headers_of(output.fields))
        ended = [
            place for places in step.outcomes.dropped.values() for place in places if place not in halted
        ]
        ended += [place for place, disposition in step.dispositions.items() if disposition == "dropped"]
        self._run.dropped.extend(self._original(step.batch, place) for place in sorted(ended))
        again = [place for place, disposition in step.dispositions.items() if disposition == "retried"]
        for place, retry in zip(again, part.retries, strict=True):
            record, seconds = self._original(step.batch, place), retry.delay / 1000
            self._run.retried.append(Retried(record, self._errors[place], seconds))
        for letter in part.dead:
            why = headers_of(letter.fields)
            self._run.dead.append(
                Dead(self._decoded(letter.fields[1]), why[f"{WHY}reason"], why[f"{WHY}error"])
            )

    def _original(self, batch: Batch, place: int) -> dict[str, Any]:
        # Decoded again: the handler may have changed its copy.
        return self._decoded(batch.original(place))

    def _decoded(self, raw: str | bytes) -> dict[str, Any]:
        assert isinstance(raw, bytes)
        record: dict[str, Any] = self._serializer.decode(raw)
        return record


class _Errors(BatchTrace):
    """Remember why records of a batch failed."""

    def __init__(self, batch: Batch, errors: dict[int, str]) -> None:
        super().__init__(batch)
        self._errors = errors

    def failing(self, place: int, error: BaseException | str) -> Mapping[str, str]:
        """Note a failure."""
        self._errors[place] = full_text(error)
        return super().failing(place, error)


async def _leaving(graph: Graph, stage: Stage, state: StateInMemory) -> tuple[Batch, Outcomes]:
    """Build the results of an `aggregate`'s open windows, in order; nothing for other stages."""
    if not isinstance(stage.options, Aggregation):
        return Batch([], []), Outcomes()
    results = Results(stage.name, stage.options, any_size=graph.serializer == "json")
    batch = results.of(sorted(_groups(stage.options, state)))
    return batch, await results.process(batch)


def _groups(of: Aggregation, state: StateInMemory) -> list[Group]:
    found: list[Group] = []
    for bucket, fields in state.hashes.items():
        if bucket == SESSIONS and of.windows is not None:
            gap = of.windows.gap
            found += [
                Group(one[0], one[1] + gap, name, one[2:])
                for name, value in fields.items()
                for one in unpacked(value)
            ]
        elif bucket.lstrip("-").isdigit():
            start = int(bucket)
            end = window_end(start, of.windows)
            found += [Group(start, end, name, unpacked(value)) for name, value in fields.items()]
    return found
