"""`rsq-pipe repair`: let a sink go on in its file as it is, after every run ended with an error."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import rich_click as click

from rsq_pipe.cli.options.server_address import connect, redis_option, server_address
from rsq_pipe.cli.options.spec_argument import spec_argument
from rsq_pipe.cli.options.stage_name import StageName, known
from rsq_pipe.cli.output.printable import on_one_line
from rsq_pipe.connectors.files.held_file import HeldFile
from rsq_pipe.ops.repair import Finding, examine, repair
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.spec.loader import load


@click.command("repair")
@spec_argument
@click.argument("stage", type=StageName(lambda stage: stage.verb == "sink"), metavar="STAGE")
@redis_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(spec: Path, stage: str, url: str | None, yes: bool) -> None:
    """
    Let a sink go on in a file that is not as the pipeline left it.

    For the error "it is not the file this pipeline wrote", where the file cannot be put back. Says how the
    file differs from what was committed to it, asks, and stores the file's end as the place where the next
    run goes on. The file itself is not touched: everything in it stays. What is missing from it is not
    restored: the pipeline no longer has acknowledged records, only `run --fresh` makes them again. Nothing
    else may write the file at that time. Exit code 1 if something does.
    """
    graph = load(spec, operate=True)
    known(graph, [stage])
    with server_address(graph, url) as address:
        asyncio.run(_repair(graph, graph.stage(stage), address, yes=yes))


async def _repair(graph: Graph, stage: Stage, address: str, *, yes: bool) -> None:
    async with connect(address) as client:
        found = await examine(client, graph, stage)
        if found.file is None or not found.is_broken:
            _print(graph, f"nothing to repair: {_whole(found)}")
            return
        for line in _differences(found.file):
            _print(graph, line)
        if not yes:
            if not sys.stdin.isatty():
                raise click.UsageError("`repair` asks first, and there is nobody to ask; add --yes")
            click.confirm("Continue after what the file holds, as it is?", abort=True, err=True)
        await repair(client, graph, stage, found)
        _print(graph, f"the next run continues after the {found.file.size:,} bytes of {found.file.name}")


def _whole(found: Finding) -> str:
    if found.file is None:
        return f"nothing was ever committed to the file of stage {found.stage!r}"
    if not found.file.size:
        return f"there is no {found.file.name}, or an empty one, and the next run begins it again"
    return f"{found.file.name} is the file that the pipeline wrote {found.file.committed:,} bytes to"


def _differences(file: HeldFile) -> list[str]:
    lines = [f"{file.committed:,} bytes were committed to {file.name}, which has {file.size:,} now"]
    if file.missing:
        lost = f"at least {file.missing:,} bytes of acknowledged records are not in it, and stay lost"
        lines += [f"{lost}; `rsq-pipe run --fresh` writes all records again, if the sources still have them"]
    else:
        lines += ["it begins with something else: it is another file, and acknowledged records may be lost"]
    lines += [
        "all that it holds stays; lines that were not acknowledged when it was damaged are written again"
    ]
    if not file.ends_whole:
        lines += ["its last line has no newline, and gets one"]
    return lines


def _print(graph: Graph, line: str) -> None:
    click.echo(on_one_line(f"{graph.pipeline}: {line}"))
