"""ObjectCheck: mistakes that show only in a comparison of all stages that read and write objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rsq_pipe.connectors.objects.naming import Naming, Pattern
from rsq_pipe.connectors.objects.settings import Address
from rsq_pipe.spec.document import Document
from rsq_pipe.spec.graph import ConnectorRef, Graph

_TYPE = "objects"


def report_objects(document: Document, graph: Graph) -> None:
    """Report parts that two sinks write or a source reads, and parts larger than the stream above allows."""
    writers: dict[tuple[str, str | None], str] = {}
    for stage, options in _of(graph, "sink"):
        where = ("stages", stage, "sink")
        first = writers.setdefault((options.url, options.endpoint), stage)
        if first != stage:
            what = f"stage {stage!r} writes the objects that stage {first!r} writes: {options.url}"
            fix = "give it a separate path, or let one sink read both: `from: [one, other]`"
            document.report((*where, "url"), what, fix)
        for source, read in _of(graph, "source"):
            if _reads(read, options):
                what = f"stage {stage!r} writes objects that stage {source!r} reads: {options.url}"
                document.report((*where, "url"), what, "write them somewhere else")
        most, wished = graph.max_backlog // 2, options.rotate.records
        if wished is not None and wished > most:
            what = f"parts of {wished:,} records cannot be reached: half of `max_backlog` is {most:,}"
            fix = (
                f"write `max_backlog: {2 * wished}` beside `stages`, and make sure that Redis has the memory"
            )
            document.report((*where, "rotate", "records"), what, fix, severity="warning")


def _of(graph: Graph, kind: str) -> Iterator[tuple[str, Any]]:
    for stage in graph.stages:
        ref = stage.options
        if isinstance(ref, ConnectorRef) and (ref.kind, ref.type) == (kind, _TYPE):
            yield stage.name, ref.options


def _reads(source: Any, sink: Any) -> bool:
    """Return whether a source would read the objects that a sink writes."""
    read, written = Address.of(source.url), Address.of(sink.url)
    if (read.scheme, read.bucket, source.endpoint) != (written.scheme, written.bucket, sink.endpoint):
        return False
    return Pattern(read.path).matches(Naming(written.path, sink.partition_by).name(1, 0, sink.partition_by))
