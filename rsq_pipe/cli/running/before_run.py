"""Before run: checks that `run` makes before it begins: immediate mistakes, and losses to confirm."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import rich_click as click
import structlog

from rsq_pipe.cli.options.server_address import connect
from rsq_pipe.connectors.source import SharedSource
from rsq_pipe.engine.connecting import source_of
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.state.source_ends import reads_outside
from rsq_pipe.errors import NeverRanError, SourceError, SpecError, SpecValidationError
from rsq_pipe.ops.columns import column_problems
from rsq_pipe.ops.dead_letters.dead_letter_queue import find_queues
from rsq_pipe.spec.endless import never_ends, waiting_for_ever
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.spec.problem import Problem
from rsq_pipe.spec.protected import why_taken
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.memory import EVICTS, memory_of

COLUMNS_WITHIN = 3.0
"""Maximum seconds to read the columns of tables before a run."""


def check_sources(graph: Graph, names: Sequence[str], *, shared: bool) -> None:
    """
    Refuse a run that would only fail at once.

    Args:
        graph: The pipeline.
        names: The stages to run; none for all.
        shared: Whether several processes will run it.

    Raises:
        SpecError: A source names files that do not exist.
        UsageError: Several processes would share standard input: one would get all records, the others would
            end at once.
    """
    for stage in _sources(graph, names):
        source = source_of(graph, stage)
        if shared and not source.resumable:
            raise click.UsageError(
                f"stage {stage.name!r} reads standard input, which processes cannot share; leave "
                "--processes out and give slow stages `workers`, or write the input to a file first"
            )
        if isinstance(source, SharedSource):  # on a server: a run waits for one that is unavailable
            continue
        try:
            source.shards()
        except SourceError as exc:
            raise SpecError(f"{graph.places[stage.name]}: {exc}; nothing was run") from exc


def check_columns(graph: Graph, names: Sequence[str]) -> None:
    """
    Refuse a run whose sinks or lookups need columns that their tables do not have.

    Nothing is said of a table that cannot be read within some seconds: a run waits for its server.

    Args:
        graph: The pipeline.
        names: The stages to run; none for all.

    Raises:
        SpecValidationError: Each record would fail.
    """
    problems = column_problems(graph, COLUMNS_WITHIN, names)
    warn_of_problems(graph, [one for one in problems if one.severity == "warning"])
    if wrong := [one for one in problems if one.severity == "error"]:
        raise SpecValidationError(wrong)


def warn(graph: Graph) -> None:
    """Warn of configurations that run, but hardly as intended."""
    warn_of_unread(graph)
    warn_of_fields(graph)
    for stage, what, fix in waiting_for_ever(graph):
        log = structlog.get_logger("rsq_pipe")
        log.warning(what, pipeline=graph.pipeline, stage=stage.name, fix=fix)


async def warn_of_eviction(client: StreamClient, graph: Graph) -> None:
    """
    Warn of a server that deletes keys to make room; nothing is said where the user may not ask.

    Redis: INFO.
    """
    memory = await memory_of(client, Keyspace(graph.pipeline).meta)
    if memory is not None and memory.loses:
        structlog.get_logger("rsq_pipe").warning(EVICTS, pipeline=graph.pipeline)


def report_endless_run(graph: Graph, names: Sequence[str]) -> None:
    """
    Report that a run does not end by itself, since it reads no source, and which one does.

    Args:
        graph: The pipeline.
        names: The stages to run; none for all.
    """
    if any(_sources(graph, names)):
        return
    sources = list(_sources(graph, ()))
    end = bool(sources) and not reads_outside(graph) and not any(map(never_ends, sources))
    words = " ".join(f"--stage {stage.name}" for stage in sources)
    structlog.get_logger("rsq_pipe").info(
        "reads no source, so it runs until it is told to stop",
        pipeline=graph.pipeline,
        **({"ends_by_itself": f"rsq-pipe run {graph.spec} {words}"} if end else {}),
    )


def warn_of_fields(graph: Graph) -> None:
    """Warn of what stages do with fields; what is wrong with a source's file, the source itself reports."""
    warn_of_problems(graph, [one for one in graph.warnings if not one.path.endswith(".source.path")])


def warn_of_problems(graph: Graph, problems: Sequence[Problem]) -> None:
    """Log warnings that a check of the file gave, each with its place."""
    for one in problems:
        at = f"{one.file}:{one.line}:{one.column}: {one.path}"
        structlog.get_logger("rsq_pipe").warning(one.what, pipeline=graph.pipeline, at=at, fix=one.fix)


def warn_of_unread(graph: Graph) -> None:
    """Warn of outputs that no stage reads: nothing removes their records, so they fill the server."""
    read = {ref for stage in graph.stages for ref in stage.inputs}
    for stage in graph.stages:
        for ref in stage.outputs.values():
            if not ref.external and ref not in read:
                structlog.get_logger("rsq_pipe").warning(
                    "nobody reads this output, so its records pile up on the server; add a stage that does",
                    pipeline=graph.pipeline,
                    output=ref.name,
                )


def check_trace_file(graph: Graph, file: Path | None) -> None:
    """
    Refuse to write traces into a file that the pipeline uses for something else.

    Raises:
        UsageError: It is the pipeline file, code, a source's, a sink's, or in `.rsq`.
    """
    if file is not None and (why := why_taken(graph, file)):
        raise click.UsageError(f"--trace-file {str(file)!r}: {why}; name another file")


def ask_before_fresh(graph: Graph, address: str) -> None:
    """
    Ask on a terminal whether `--fresh` may delete dead letters, if there are any.

    Raises:
        Abort: It may not.
        ServerUnavailableError: The server cannot be reached.
    """
    if not sys.stdin.isatty():
        return
    count = asyncio.run(_dead_letters(graph, address))
    if count:
        dead = "1 dead letter" if count == 1 else f"{count:,} dead letters"
        question = f"--fresh deletes {dead} of {graph.pipeline} for good (`dlq export` keeps a copy). Go on?"
        click.confirm(question, abort=True, err=True)


async def _dead_letters(graph: Graph, address: str) -> int:
    async with connect(address) as client:
        try:
            queues = await find_queues(client, graph.pipeline, graph)
        except NeverRanError:
            return 0
        lengths = [await client.channel.execute("XLEN", queue.key, key=queue.key) for queue in queues]
        return sum(map(int, lengths))


def _sources(graph: Graph, names: Sequence[str]) -> Iterator[Stage]:
    for stage in graph.stages:
        if stage.verb == "source" and (not names or stage.name in names):
            yield stage
