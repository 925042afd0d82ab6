"""AsRun: a pipeline's graph as last run, rebuilt from what the server stores, without its file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from msgspec import Struct

from rsq_pipe.connectors.table import SINKS, SOURCES
from rsq_pipe.engine.changes.last_run import GRAPH, LastRun, LastStage, parse, recall
from rsq_pipe.engine.changes.past import Past
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.errors import NeverRanError
from rsq_pipe.spec.graph import ConnectorRef, Graph, RetryPolicy, Stage, StreamRef, Telemetry, VerbName
from rsq_pipe.spec.stages.aggregate import Aggregation
from rsq_pipe.streams.client import StreamClient

_RETRY = RetryPolicy(attempts=3, first=0.2, max=30.0, jitter=0.2, deliveries=3)


class StateSettings(Struct, frozen=True):
    """
    Represent the settings of a stage with state that has no windows.

    Args:
        max_keys: Maximum number of keys in its state.
    """

    max_keys: int


class AsRun(Struct, frozen=True):
    """
    Hold a pipeline as it was last run.

    Args:
        graph: Its stages and streams: enough to inspect it, not to run it.
        last: The stored description of the run.
        raw: The bytes it was read from.
    """

    graph: Graph
    last: LastRun
    raw: bytes = b""


async def as_run(client: StreamClient, pipeline: str, known: AsRun | None = None) -> AsRun:
    """
    Find the graph of a pipeline's last run.

    Args:
        client: The server.
        pipeline: Its name.
        known: What was found before; it is returned if it is still current.

    Raises:
        NeverRanError: It never ran there.
        NewerFormError: A newer release ran it, and stores things in another form.

    Redis: HGET; HKEYS if an earlier release ran it.
    """
    meta = Keyspace(pipeline).meta
    raw = await client.channel.execute("HGET", meta, GRAPH, key=meta) or b""
    if known is not None and raw and raw == known.raw:
        return known
    last = parse(pipeline, raw.decode(errors="replace")) if raw else None
    if last is None:
        fields = [
            field.decode(errors="replace") for field in await client.channel.execute("HKEYS", meta, key=meta)
        ]
        last = recall(pipeline, fields)
        if not last.stages:
            raise NeverRanError(pipeline, client.channel.address)
    return AsRun(graph_of(pipeline, last), last, raw)


def graph_of(pipeline: str, last: LastRun) -> Graph:
    """Rebuild the graph of a run from what is stored: stages, streams and names, not their computations."""
    return Graph(
        pipeline,
        tuple(_stage(pipeline, stage) for stage in last.stages),
        root=Path(),
        path=Path(last.file or f"{pipeline}.yaml"),
        description=last.description,
        reclaim_idle=last.reclaim_idle,
        max_backlog=last.max_backlog,
        serializer="msgpack" if last.serializer == "msgpack" else "json",
        text=last.text,
        telemetry=Telemetry(ui=last.ui),
    )


def stage_gone(pipeline: str, past: Past, name: str) -> Stage | None:
    """Rebuild a stage that may no longer be in the file from what runs left; None if they left nothing."""
    ran = [*past.last.stages, *recall(pipeline, past.fields).stages]  # the last run may have lacked it
    return next((_stage(pipeline, stage) for stage in ran if stage.name == name), None)


def _stage(pipeline: str, stage: LastStage) -> Stage:
    return Stage(
        name=stage.name,
        verb=cast("VerbName", stage.verb or "pass"),
        options=_options(stage),
        values={},
        inputs=tuple(_ref(pipeline, key) for key in stage.reads),
        outputs=_outputs(pipeline, stage.writes),
        batch_size=1,
        batch_wait=0.0,
        timeout=0.0,
        retry=_RETRY,
        on_error="dlq",
        # Whether it is fused with the stage above is taken from the run, not decided again.
        fuse=bool(stage.fused),
        rate=stage.rate,
        digests=stage.digests,
    )


def _outputs(pipeline: str, writes: Mapping[str, str]) -> dict[str, StreamRef]:
    return {port: _ref(pipeline, key) for port, key in writes.items()}


def _ref(pipeline: str, key: str) -> StreamRef:
    own = f"{{{pipeline}}}:"
    return StreamRef(key.removeprefix(own)) if key.startswith(own) else StreamRef(key, external=True)


def _options(stage: LastStage) -> Any:
    if stage.verb == "aggregate":
        return Aggregation((), (), stage.windows, max_keys=stage.max_keys)
    if stage.max_keys:
        return StateSettings(stage.max_keys)
    kind = stage.target.split(" ")[0]
    if stage.verb == "source" and kind in SOURCES:
        return ConnectorRef("source", kind, None)
    if stage.verb == "sink" and kind in SINKS:
        return ConnectorRef("sink", kind, None)
    return None
