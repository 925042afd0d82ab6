"""`rsq-pipe delete`: delete everything a pipeline has on a server."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import rich_click as click

from rsq_pipe.cli.errors import FAILED
from rsq_pipe.cli.options.server_address import connect, redis_option_here, server_here
from rsq_pipe.cli.output.console import console, how_many
from rsq_pipe.cli.output.printable import on_one_line, printable, remark
from rsq_pipe.engine.changes.past import read_past
from rsq_pipe.engine.ownership.presence import Presence
from rsq_pipe.errors import SourceError
from rsq_pipe.ops.delete import delete, keys_of
from rsq_pipe.ops.pipelines import described, pipelines
from rsq_pipe.ops.slots import drop_slots, drop_statement, slots_left, slots_of
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.suggestion import suggest
from rsq_pipe.units import counted


@click.command("delete")
@click.argument("pipeline", metavar="PIPELINE")
@redis_option_here
@click.option(
    "--drop-slots",
    "spec",
    type=click.Path(path_type=Path),
    metavar="SPEC",
    help="Also drop the replication slots that the `postgres_cdc` sources of this file read.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def command(ctx: click.Context, pipeline: str, url: str | None, spec: Path | None, yes: bool) -> None:
    """
    Delete everything a pipeline has on a server.

    PIPELINE is its name, as `rsq-pipe pipelines` shows it. Records that wait, dead letters, what stages
    remember, positions and counters go for good; files that sinks wrote, and streams from outside, stay. So
    does the replication slot of a `postgres_cdc` source, unless --drop-slots names the pipeline's file: the
    statement that drops it is printed. It says what would go, and asks first. Refused while somebody runs
    the pipeline; and where a slot cannot be dropped, nothing else is deleted.
    """
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("`delete` asks before it deletes, and there is nobody to ask; add --yes")
    graph = None if spec is None else _with_slots(spec, pipeline)
    with server_here(url) as address:
        if not asyncio.run(_delete(address, pipeline, graph, yes=yes)):
            ctx.exit(FAILED)


def _with_slots(spec: Path, pipeline: str) -> Graph:
    """Read the file that names slots: its copy on the server may have been written by anyone."""
    graph = load(spec)
    if graph.pipeline != pipeline:
        raise click.UsageError(
            f"--drop-slots {on_one_line(str(spec))} is of pipeline {graph.pipeline!r}, and not of "
            f"{on_one_line(pipeline)!r}; name the file of that"
        )
    if not slots_of(graph):
        raise click.UsageError(
            f"--drop-slots {on_one_line(str(spec))} names no replication slot: it has no source "
            "`postgres_cdc`; leave --drop-slots out"
        )
    return graph


async def _delete(address: str, pipeline: str, graph: Graph | None, *, yes: bool) -> bool:
    async with connect(address) as client:
        keys = await keys_of(client, pipeline)
        if not keys:
            await _report_unknown(client, pipeline)
            return False
        await Presence(client, pipeline).refuse_others()
        past = await read_past(client, pipeline)
        held = described(pipeline, past, [])
        waiting = "records that wait" if held.backlog is None else f"{held.backlog:,} waiting"
        what = f"{counted(len(keys), 'key')}, records: {waiting}, {how_many(held.dead)}"
        dropped = slots_of(graph) if graph else {}
        slots = [(stage, slot) for stage, slot in slots_left(past.last) if stage not in dropped]
        if not yes:
            for slot in dropped.values():
                remark(f"the replication slot {slot!r} on its PostgreSQL server is dropped, too")
            for _, slot in slots:
                remark(f"the replication slot {slot!r} on its PostgreSQL server stays; drop it there")
            question = f"Delete all of {pipeline} on {client.channel.address} for good ({what})?"
            click.confirm(printable(question), abort=True, err=True)
        if graph is not None:
            await _drop(graph)
        count = await delete(client, pipeline)
    console().print(
        printable(f"{pipeline}: {counted(count, 'key')} deleted; {waiting}, {how_many(held.dead)}")
    )
    for stage, slot in slots:
        remark(
            f"stage {stage!r} read the replication slot {slot!r} of a PostgreSQL server, which keeps its log "
            f"for it until its disk is full; drop it there: {drop_statement(slot)}"
        )
    return True


async def _drop(graph: Graph) -> None:
    """Drop slots before anything else is deleted: if that fails, the command can be run again."""
    try:
        found = await drop_slots(graph)
    except SourceError as exc:
        raise SourceError(f"{exc}; nothing was deleted", stage=exc.stage) from exc
    for stage, slot, was in found:
        name = f"replication slot {slot!r}"
        remark(f"stage {stage!r}: {f'the {name} was dropped' if was else f'there was no {name} any more'}")


async def _report_unknown(client: StreamClient, pipeline: str) -> None:
    names = [one.name for one in await pipelines(client)]
    hint = suggest(pipeline, names, otherwise="" if names else "there is none at all")
    remark(f"{client.channel.address}: there is no pipeline {pipeline!r}; {hint}")
