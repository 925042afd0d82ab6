"""run_stage: runs one stage of a pipeline on given records, without a server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rsq_pipe.errors import EncodeError
from rsq_pipe.ids import record_id
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.delivery import Delivery
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.message import NO_HEADERS
from rsq_pipe.streams.serializers import JsonSerializer, MsgpackSerializer, Serializer
from rsq_pipe.suggestion import suggest
from rsq_pipe.testing.own_loop import own_loop
from rsq_pipe.testing.runs import StageRun
from rsq_pipe.testing.stage_test import StageTest


def run_stage(
    spec: str | Path,
    stage: str,
    records: Iterable[dict[str, Any]],
    *,
    headers: Mapping[str, str] = NO_HEADERS,
    attempt: int = 1,
) -> StageRun:
    """
    Run one stage of a pipeline on given records, as a worker would, without a server.

    Handler, values, batches, timeout, expressions and the encoding of records are the pipeline's own. A
    record that fails is not tried again: `.retried` shows that it would be. Blocks until the stage is done.

    Args:
        spec: The pipeline file.
        stage: The stage's name; not a source or a sink.
        records: Its input; the stage gets copies, with the record ids `test:1`, `test:2` ...
        headers: Headers that every record carries.
        attempt: The number of the attempt for every record, from 1. A record that fails in the last of the
            stage's `attempts` becomes a dead letter.

    Raises:
        SpecError: The pipeline file is wrong; all mistakes at once.
        EncodeError: A given record cannot be held by a stream.
        ValueError: There is no such stage, or it is a source or a sink, or `attempt` is below 1.
        RuntimeError: The calling thread runs an event loop; `await asyncio.to_thread(run_stage, ...)`.
    """
    if attempt < 1:
        raise ValueError(f"attempt {attempt} is none: the first one is 1")
    graph = load(Path(spec), connect=False)
    chosen = _chosen(graph, stage)
    serializer: Serializer = MsgpackSerializer() if graph.serializer == "msgpack" else JsonSerializer()
    stream = chosen.inputs[0].key(graph.pipeline)
    batch = _batch(chosen, stream, serializer, records)
    places = range(len(batch))
    batch.headers = dict.fromkeys(places, headers) if headers else {}
    batch.attempts = dict.fromkeys(places, attempt - 1) if attempt > 1 else {}
    return own_loop("run_stage", lambda: StageTest(graph, chosen, serializer).run(batch))


def _chosen(graph: Graph, name: str) -> Stage:
    stages = {stage.name: stage for stage in graph.stages}
    if name not in stages:
        raise ValueError(f"pipeline {graph.pipeline!r} has no stage {name!r}; {suggest(name, stages)}")
    if (verb := stages[name].verb) in {"source", "sink"}:
        raise ValueError(
            f"stage {name!r} is a {verb}, and run_stage touches nothing outside; use run_pipeline, which "
            "puts given records in the place of sources and collects what reaches the sinks"
        )
    return stages[name]


def _batch(stage: Stage, stream: str, serializer: Serializer, records: Iterable[dict[str, Any]]) -> Batch:
    raws: list[bytes] = []
    for number, record in enumerate(records, 1):
        try:
            raws.append(serializer.encode(record))
        except EncodeError as exc:
            raise EncodeError(f"record {number} given to stage {stage.name!r}: {exc}", record) from exc
    return Batch(
        [serializer.decode(raw) for raw in raws],
        [record_id("test", str(number)) for number in range(1, len(raws) + 1)],
        range(len(raws)),
        [Delivery(stream, f"{number}-0", 1) for number in range(1, len(raws) + 1)],
        original=raws.__getitem__,
    )
