"""PipelineTest: a pipeline with a test's files instead of everything it reads and writes outside."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from rsq_pipe.connectors.jsonl.sink import Options as SinkOptions
from rsq_pipe.connectors.jsonl.source import Options as SourceOptions
from rsq_pipe.errors import EncodeError
from rsq_pipe.spec.graph import ConnectorRef, Graph, Stage
from rsq_pipe.streams.serializers import JsonSerializer
from rsq_pipe.suggestion import suggest

LONGEST_BATCH_WAIT = 0.05
"""Maximum seconds for a batch to fill, overriding the pipeline: all records exist from the start."""

Given: TypeAlias = Mapping[str, Iterable[dict[str, Any]]]


class PipelineTest(Struct, frozen=True):
    """
    Hold a pipeline that ends by itself and accesses nothing outside.

    Args:
        graph: The pipeline; each stream from outside is fed by a source, each published one read by a sink.
        own: The stages in the pipeline's file.
        given: Source of `graph` -> how many records it has.
        sinks: Sink stage -> the file it writes.
        streams: Key of a published stream -> the file that its sink writes.
    """

    graph: Graph
    own: Sequence[Stage]
    given: Mapping[str, int]
    sinks: Mapping[str, Path]
    streams: Mapping[str, Path]


def prepare(graph: Graph, folder: Path, sources: Given, streams: Given) -> PipelineTest:
    """
    Write given records to files, and make a pipeline that reads those.

    Args:
        graph: The pipeline.
        folder: The folder for the files.
        sources: Source stage -> its records.
        streams: Key of a stream from outside -> its records.

    Raises:
        ValueError: One of them is missing, or a name is unknown.
        EncodeError: A record cannot be held by a stream.
    """
    read = {ref.name: ref for stage in graph.stages for ref in stage.inputs if ref.external}
    written = {ref.name: ref for stage in graph.stages for ref in stage.outputs.values() if ref.external}
    named = [stage.name for stage in graph.stages if stage.verb == "source"]
    _check(graph, "sources", "source", sources, known=named, needed=named)
    _check(graph, "streams", "stream from outside", streams, known=read, needed=read.keys() - written.keys())

    blank = replace(graph.stages[0], values={}, inputs=(), outputs={}, on_error="dlq", workers=1)
    feeds = [replace(blank, name=_feed(key), verb="source", outputs={"": read[key]}) for key in streams]
    drains = [replace(blank, name=_drain(key), verb="sink", inputs=(ref,)) for key, ref in written.items()]
    stages = [*feeds, *graph.stages, *drains]
    files = {stage.name: folder / str(number) / "records.jsonl" for number, stage in enumerate(stages)}
    records = {**sources, **{_feed(key): streams[key] for key in streams}}
    return PipelineTest(
        replace(graph, stages=tuple(_staged(stage, files[stage.name]) for stage in stages)),
        graph.stages,
        given={name: _write(files[name], name, records[name]) for name in records},
        sinks={stage.name: files[stage.name] for stage in graph.stages if stage.verb == "sink"},
        streams={key: files[_drain(key)] for key in written},
    )


def _feed(key: str) -> str:
    """Name the source that feeds a stream from outside; no stage of the file has a name with a space."""
    return f"from {key}"


def _drain(key: str) -> str:
    return f"to {key}"


def _check(
    graph: Graph,
    argument: str,
    kind: str,
    given: Collection[str],
    *,
    known: Collection[str],
    needed: Collection[str],
) -> None:
    for name in given:
        if name not in known:
            hint = suggest(name, known, otherwise="" if known else f"leave {argument!r} out")
            raise ValueError(f"pipeline {graph.pipeline!r} has no {kind} {name!r}; {hint}")
    if missing := sorted(set(needed) - set(given)):
        names, example = " and ".join(map(repr, missing)), f"{argument}={{{missing[0]!r}: [...]}}"
        raise ValueError(
            f"pipeline {graph.pipeline!r} also reads {kind} {names}; give its records, "
            f"or an empty list: {example}"
        )


def _staged(stage: Stage, file: Path) -> Stage:
    options = stage.options
    if stage.verb == "source":
        read = SourceOptions.model_validate({"path": str(file), "max_line": "1GiB"})
        options = ConnectorRef("source", "jsonl", read)
    elif stage.verb == "sink":
        options = ConnectorRef("sink", "jsonl", SinkOptions(path=str(file), fsync=False))
    wait = min(stage.batch_wait, LONGEST_BATCH_WAIT)
    # A pausing stage would wait for a repair that no test makes, and one with a rate longer than a test may
    # take.
    return replace(stage, options=options, batch_wait=wait, breaker=None, rate=None)


def _write(file: Path, source: str, records: Iterable[dict[str, Any]]) -> int:
    file.parent.mkdir()
    encode, lines = JsonSerializer().encode, []
    for number, record in enumerate(records, 1):
        try:
            lines.append(encode(record))
        except EncodeError as exc:
            raise EncodeError(f"record {number} given to {source!r}: {exc}", record) from exc
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    return len(lines)
