"""`rsq-pipe pause`: pause stages until they are resumed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import rich_click as click

from rsq_pipe.cli.options.server_address import connect, redis_option, server_address
from rsq_pipe.cli.options.spec_argument import spec_argument
from rsq_pipe.cli.options.stage_name import STAGE, known
from rsq_pipe.cli.output.printable import on_one_line
from rsq_pipe.ops.audit import by_operator, note, operator
from rsq_pipe.ops.hold import pause
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load

BY_HAND = "by hand"


@click.command("pause")
@spec_argument
@click.argument("stages", type=STAGE, nargs=-1, required=True, metavar="STAGE...")
@redis_option
@click.option(
    "--why", default=BY_HAND, show_default=True, help="What `status` says about it.", metavar="TEXT"
)
def command(spec: Path, stages: tuple[str, ...], url: str | None, why: str) -> None:
    """
    Pause stages until they are resumed.

    They finish the batch in flight and read nothing more, whichever processes run them, now or later; a
    source reads nothing more. Stages fused with a paused one wait with it. Nothing is lost: new records wait
    in the streams, and the stages above pause by themselves once these are full. A run does not end while
    records wait. `status` says which stages are paused, why and since when.
    """
    graph = load(spec, operate=True)
    known(graph, stages)
    why = f"{BY_HAND}, {operator()}" if why == BY_HAND else why
    with server_address(graph, url) as address:
        asyncio.run(_pause(graph, stages, address, why))


async def _pause(graph: Graph, stages: tuple[str, ...], address: str, why: str) -> None:
    async with connect(address) as client:
        for stage in stages:
            before = await pause(client, graph, stage, why)
            if before is None:
                await note(client, graph.pipeline, **by_operator("pause", stage), why=why)
            outcome = f"{stage} is paused" if before is None else f"{stage} was paused before: {before.why}"
            click.echo(on_one_line(f"{graph.pipeline}: {outcome}"))
