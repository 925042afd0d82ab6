"""`rsq-pipe resume`: let paused stages go on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import rich_click as click

from rsq_pipe.cli.options.server_address import connect, redis_option, server_address
from rsq_pipe.cli.options.spec_argument import spec_argument
from rsq_pipe.cli.options.stage_name import STAGE, known
from rsq_pipe.cli.output.printable import on_one_line
from rsq_pipe.ops.audit import by_operator, note
from rsq_pipe.ops.hold import resume
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load
from rsq_pipe.units import age


@click.command("resume")
@spec_argument
@click.argument("stages", type=STAGE, nargs=-1, required=True, metavar="STAGE...")
@redis_option
def command(spec: Path, stages: tuple[str, ...], url: str | None) -> None:
    """
    Let paused stages go on.

    For stages paused by `rsq-pipe pause`, or because too many of their records became dead letters
    (`on_error: {dlq: {max: 5%}}`); for the latter, counting starts over. A stage paused by its breaker tries
    again by itself, and needs no command.
    """
    graph = load(spec, operate=True)
    known(graph, stages)
    with server_address(graph, url) as address:
        asyncio.run(_resume(graph, stages, address))


async def _resume(graph: Graph, stages: tuple[str, ...], address: str) -> None:
    async with connect(address) as client:
        for stage in stages:
            found = await resume(client, graph, stage)
            outcome = f"{stage} was not paused by hand, nor for its dead letters"
            if found is not None:
                hold, seconds = found
                await note(client, graph.pipeline, **by_operator("resume", stage), why=hold.why)
                outcome = f"{stage} goes on; it was paused for {age(seconds)}: {hold.why}"
            click.echo(on_one_line(f"{graph.pipeline}: {outcome}"))
