"""Walk: passes a pipeline's first records through its stages, one stage after another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path

from rsq_pipe.connectors.source import Arrival
from rsq_pipe.engine.encoding.codecs import serializer
from rsq_pipe.engine.sources.prefetch import Prefetch
from rsq_pipe.errors import EncodeError
from rsq_pipe.ids import record_id
from rsq_pipe.spec.fusing import asks_server
from rsq_pipe.spec.graph import Graph, Stage, StreamRef
from rsq_pipe.streams.headers import WHY
from rsq_pipe.testing.preview.first_records import first_records
from rsq_pipe.testing.preview.inputs import Input, batch_of, inputs_of
from rsq_pipe.testing.preview.passage import Made, Passage, StagePreview
from rsq_pipe.testing.preview.tried import tried
from rsq_pipe.testing.preview.written import written


async def walk(
    graph: Graph, *, limit: int, stages: Iterable[str] = (), files: Mapping[str, Path] | None = None
) -> AsyncIterator[StagePreview]:
    """
    Yield the results of each stage for the first records, upper stages first.

    Only handlers have effects outside: sinks write nothing, no server is contacted.

    Args:
        graph: The pipeline.
        limit: Maximum records of each source.
        stages: The stages to show; none for all. Stages they do not need are left out.
        files: Stage -> the file whose records it gets, instead of its input.

    Raises:
        SourceError: There is nothing to read.
    """
    walker = _Walker(graph, limit, files or {})
    wanted = needed(graph, set(stages), walker.files)
    for stage in graph.stages:
        if stage.name in wanted:
            yield await walker.pass_on(stage)


def needed(graph: Graph, stages: set[str], files: Mapping[str, Path]) -> set[str]:
    """Name some stages, and all stages whose records they need."""
    if not stages:
        stages = {stage.name for stage in graph.stages}
    found: set[str] = set()
    waiting = list(stages)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if name not in files:
            read = graph.stage(name).inputs
            waiting += [above.name for above in graph.stages for ref in read if ref in _written(above)]
    return found


def _written(stage: Stage) -> tuple[StreamRef, ...]:
    return (*stage.outputs.values(), stage.dlq)


class _Walker:
    """Keep the records between the stages."""

    def __init__(self, graph: Graph, limit: int, files: Mapping[str, Path]) -> None:
        self.files = files
        self._graph = graph
        self._limit = limit
        self._form = serializer(graph)
        self._streams: dict[StreamRef, list[Made]] = {}

    async def pass_on(self, stage: Stage) -> StagePreview:
        """Let a stage handle the records that wait for it."""
        found = await self._handled(stage)
        made = [one for passage in found.passages for one in passage.made] + found.left
        for port, ref in stage.outputs.items():
            self._streams.setdefault(ref, []).extend(one for one in made if one.port == port)
        self._streams[stage.dlq] = [
            Made("", passage.rid, passage.before, {f"{WHY}stage": stage.name, f"{WHY}error": passage.why})
            for passage in found.passages
            if passage.outcome == "failed" and passage.before is not None
        ]
        return found

    async def _handled(self, stage: Stage) -> StagePreview:
        if stage.verb == "source":
            return StagePreview(stage, await self._brought(stage))
        inputs, found = await self._inputs(stage)
        if stage.verb == "sink":
            found.passages += written(stage, batch_of(inputs, self._form))
        elif asks_server(stage):
            found.note = (
                "it asks a server, and a preview asks none: the records go on with null for what it adds"
            )
            missing = dict.fromkeys(stage.options.targets)
            found.passages = [
                Passage(
                    *(one.rid, one.record, "emitted"),
                    made=[Made("", one.rid, one.record | missing, one.headers)],
                )
                for _, one in inputs
            ]
        else:
            handled = await tried(self._graph, stage, batch_of(inputs, self._form), self._form)
            handled.note = handled.note or found.note
            handled.passages = [*found.passages, *handled.passages]
            return handled
        return found

    async def _brought(self, stage: Stage) -> list[Passage]:
        # In a thread, as in a run: a source may have an event loop of its own.
        arrivals = Prefetch(first_records(self._graph, stage, self._limit, self.files.get(stage.name)))
        try:
            return [self._entered(stage, arrival) async for arrival in arrivals]
        finally:
            arrivals.close()

    def _entered(self, stage: Stage, arrival: Arrival) -> Passage:
        rid = record_id(stage.name, arrival.offset)
        if arrival.data is None:
            return Passage(rid, None, "failed", arrival.error, raw=arrival.raw)
        try:
            plain = self._form.decode(self._form.encode(arrival.data))
        except EncodeError as exc:
            return Passage(rid, None, "failed", str(exc), raw=arrival.raw)
        return Passage(rid, plain, "emitted", made=[Made("", rid, plain, dict(arrival.headers))])

    async def _inputs(self, stage: Stage) -> tuple[list[Input], StagePreview]:
        """Collect the records that wait for a stage, each with the stream it comes by."""
        graph, found = self._graph, StagePreview(stage)
        if stage.name in self.files:
            brought = await self._brought(stage)
            found.passages = [passage for passage in brought if passage.outcome == "failed"]
            stream = stage.inputs[0].key(graph.pipeline)
            return [(stream, one) for passage in brought for one in passage.made], found
        for ref in stage.inputs:
            if ref not in self._streams:
                found.note = (
                    f"the stream {ref.name!r} is on a server, and a preview asks none; "
                    f"--input {stage.name}=FILE gives it records"
                )
        return inputs_of(graph, stage, self._streams), found
