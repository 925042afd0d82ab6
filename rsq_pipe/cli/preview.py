"""`rsq-pipe preview`: the first records before and after each stage, without a server."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rich_click as click

from rsq_pipe import redaction
from rsq_pipe.cli.options.spec_argument import spec_argument
from rsq_pipe.cli.options.stage_name import STAGE, known
from rsq_pipe.cli.output.console import console
from rsq_pipe.cli.output.printable import json_line
from rsq_pipe.cli.preview_text import heading, lines
from rsq_pipe.errors import SpecError
from rsq_pipe.ops.dead_letters.payload import as_json
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.spec.loader import load
from rsq_pipe.telemetry.logs import set_up
from rsq_pipe.testing.preview.first_records import FORMATS, format_of
from rsq_pipe.testing.preview.passage import StagePreview
from rsq_pipe.testing.preview.walk import needed, walk

_SECRET = re.compile(r"\$\{secret:(\w+)\}")
"""The placeholder of an unset secret in a source's settings."""


@click.command("preview")
@spec_argument
@click.option(
    "--stage",
    "stages",
    type=STAGE,
    multiple=True,
    metavar="NAME",
    help="Show only this stage; may be given again. Stages above it handle their records, too.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=10,
    show_default=True,
    metavar="N",
    help="The first N records of each source.",
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="[STAGE=]FILE",
    help="Take the records of this csv or jsonl file: instead of what the source reads, or, with STAGE=, "
    "instead of what comes to that stage. May be given again.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per stage and record.")
def command(spec: Path, stages: tuple[str, ...], limit: int, inputs: tuple[str, ...], as_json: bool) -> None:
    """
    Show the first records before and after each stage.

    Needs no server and leaves nothing behind: positions, streams and dead letters stay as they are, and sinks
    write nothing. Handlers are really called, with all their side effects. Each record is tried once; stages
    with state start empty, and what they hold is shown as if all input had ended.
    """
    set_up("auto")  # handlers log
    graph = load(spec, connect=False)
    redaction.add(graph.secrets)
    names = known(graph, stages)
    files = _files(graph, inputs)
    read = needed(graph, {*names}, files)
    sources = [
        one for one in graph.stages if one.verb == "source" and one.name in read and one.name not in files
    ]
    _refuse_silence(sources)
    _refuse_unset(graph, sources)
    asyncio.run(_show(graph, names, limit, files, as_json=as_json))


async def _show(
    graph: Graph, names: Sequence[str], limit: int, files: dict[str, Path], *, as_json: bool
) -> None:
    screen, first = console(), True
    async for found in walk(graph, limit=limit, stages=names, files=files):
        if names and found.stage.name not in names:
            continue
        if as_json:
            for described in documents(found):
                sys.stdout.write(json_line(described))
            continue
        if not first:
            screen.print()
        first = False
        screen.print(heading(found), soft_wrap=True)
        for line in lines(found):
            if screen.is_terminal and line.style == "dim":  # only old fields are cut, never new ones
                line.truncate(screen.width, overflow="ellipsis")
            screen.print(line, soft_wrap=True)


def documents(found: StagePreview) -> list[dict[str, Any]]:
    """Return the keys of `--json`, which stay the same from one release to the next."""
    stage = found.stage.name
    rows: list[dict[str, Any]] = [
        {
            "stage": stage,
            "rid": passage.rid,
            "outcome": passage.outcome,
            "reason": passage.why,
            "before": None if passage.before is None else as_json(passage.before),
            "after": [
                {"port": made.port, "rid": made.rid, "record": as_json(made.record)} for made in passage.made
            ],
        }
        for passage in found.passages
    ]
    rows += [
        {
            "stage": stage,
            "rid": made.rid,
            "outcome": "emitted",
            "reason": "all input has ended",
            "before": None,
            "after": [{"port": made.port, "rid": made.rid, "record": as_json(made.record)}],
        }
        for made in found.left
    ]
    if found.note:
        rows.append({"stage": stage, "note": found.note})
    return rows


def _files(graph: Graph, inputs: Sequence[str]) -> dict[str, Path]:
    """Parse `--input` options: stage -> file."""
    files: dict[str, Path] = {}
    there = [stage.name for stage in graph.stages]
    for given in inputs:
        stage, parted, name = given.partition("=")
        if not parted or (stage not in there and Path(given).exists()):
            stage, name = _only_source(graph), given
        known(graph, [stage])
        file = Path(name)
        if not file.is_file():
            raise click.UsageError(f"--input: there is no file {name!r}")
        if format_of(file) is None:
            kinds = ", ".join(FORMATS)
            raise click.UsageError(f"--input: {name!r} is read by its name, which ends in none of {kinds}")
        if stage in files:
            raise click.UsageError(f"--input gives stage {stage!r} two files; give it one")
        files[stage] = file
    return files


def _only_source(graph: Graph) -> str:
    sources = [stage.name for stage in graph.stages if stage.verb == "source"]
    if len(sources) != 1:
        what = "no source" if not sources else f"the sources {', '.join(sources)}"
        raise click.UsageError(f"--input: pipeline {graph.pipeline!r} has {what}; name a stage: STAGE=FILE")
    return sources[0]


def _refuse_unset(graph: Graph, sources: Sequence[Stage]) -> None:
    """Refuse to read a source whose secrets are not set; no other secrets are needed."""
    for stage in sources:
        if unset := _SECRET.search(repr(stage.options.options.model_dump())):
            name, place = unset[1], graph.places[stage.name]
            raise SpecError(
                f"{place}: a preview reads the source {stage.name!r}, and its secret {name} is not set; "
                f"set the variable {name}, or give it records of a file: --input {stage.name}=FILE"
            )


def _refuse_silence(sources: Sequence[Stage]) -> None:
    """Refuse to wait for typed input, or for requests: it would look as if nothing happened."""
    for stage in sources:
        if stage.options.type == "webhook":
            raise click.UsageError(
                f"stage {stage.name!r} is a webhook, and nobody posts to a preview; "
                f"give it the records of a file: --input {stage.name}=FILE"
            )
        if "-" in getattr(stage.options.options, "path", ()) and sys.stdin.isatty():
            raise click.UsageError(
                f"stage {stage.name!r} reads standard input, and that is the terminal; "
                f"give it a file: --input {stage.name}=FILE"
            )
