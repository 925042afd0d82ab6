"""First records: the first records of a source, or of a file in its place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from glob import escape
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from rsq_pipe.connectors.source import Arrival, PreviewedSource, SharedSource, Source
from rsq_pipe.connectors.table import connector
from rsq_pipe.engine.connecting import source_of
from rsq_pipe.spec.graph import ConnectorRef, Graph, Stage

FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv"}
"""Suffix of a file's name, without `.gz` -> the source that reads it."""


def format_of(file: Path) -> str | None:
    """Choose the source that reads a file by the file's name."""
    suffixes = [suffix for suffix in file.suffixes if suffix != ".gz"]
    return FORMATS.get(suffixes[-1].lower()) if suffixes else None


def first_records(graph: Graph, stage: Stage, limit: int, file: Path | None = None) -> Iterator[Arrival]:
    """
    Yield the first records, and items that could not be read as one.

    Args:
        graph: The pipeline.
        stage: A source, or the stage that gets the records of `file`.
        limit: Maximum number of records.
        file: Read instead of the source's own; with the source's settings if of its type.

    Raises:
        SourceError: There is nothing to read.
    """
    ref = _of_file(stage, file) if file else stage.options
    if getattr(ref.options, "final", True) is None:
        # A run waits until an unfinished last line stops changing; a preview takes the current content.
        ref = _with(ref, final=True)
    source = _previewed(graph, stage, ref)
    for shard in source.shards():
        # Closed early, so that the file is closed too.
        chunks: Any = source.read(shard, "", limit)
        with closing(chunks):
            for chunk in chunks:
                arrivals = chunk.arrivals[:limit]
                yield from arrivals
                limit -= len(arrivals)
                if limit <= 0:
                    return


def _of_file(stage: Stage, file: Path) -> ConnectorRef:
    kind = format_of(file)
    if kind is None:
        raise ValueError(f"{file.name!r} is neither csv nor jsonl, by its name")
    path = escape(str(file.resolve()))
    own = stage.options
    if isinstance(own, ConnectorRef) and own.type == kind:
        return replace(own, options=own.options.model_copy(update={"path": (path,)}))
    settings = {"path": path, "delimiter": "\t"} if ".tsv" in file.suffixes else {"path": path}
    options = connector("source", kind).options(**settings)
    return ConnectorRef("source", kind, options)


def _previewed(graph: Graph, stage: Stage, ref: ConnectorRef) -> Source:
    source = source_of(graph, replace(stage, options=ref))
    if isinstance(source, PreviewedSource):
        source = source.preview()
    elif (every := type(ref.options).model_fields.get("every")) is not None:
        # A run waits for the next round; a preview reads what is there, once.
        source = source_of(graph, replace(stage, options=_with(ref, every=every.default)))
    return source.ending() if isinstance(source, SharedSource) else source


def _with(ref: ConnectorRef, **settings: Any) -> ConnectorRef:
    return replace(ref, options=ref.options.model_copy(update=settings))
