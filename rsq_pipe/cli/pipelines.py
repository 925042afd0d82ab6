"""`rsq-pipe pipelines`: list the pipelines of a server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import rich_click as click
from rich.table import Table
from rich.text import Text

from rsq_pipe.cli.options.server_address import connect, redis_option_here, server_here
from rsq_pipe.cli.output.console import console, moment
from rsq_pipe.cli.output.printable import json_line, printable, remark
from rsq_pipe.ops.pipelines import Listed, pipelines
from rsq_pipe.redaction import redact


@click.command("pipelines")
@redis_option_here
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per pipeline.")
def command(url: str | None, as_json: bool) -> None:
    """
    List the pipelines of a server.

    Running and resting ones, even if their files are elsewhere: name, state, stages of the last run, backlog,
    dead letters, and when the last record read by a stage was written. Changes nothing. The keys of the
    server (of all nodes of a cluster) are scanned in small steps, so that other clients do not wait.
    """
    with server_here(url) as address:
        server, found = asyncio.run(_found(address))
    if as_json:
        for one in found:
            sys.stdout.write(json_line(document(one)))
    elif found:
        console().print(_table(found))
        for one in found:
            if one.fault:
                remark(f"{one.name}: {one.fault}")
    else:
        console().print(printable(f"{server}: no pipeline has run here"))


async def _found(address: str) -> tuple[str, list[Listed]]:
    async with connect(address) as client:
        return client.channel.address, await pipelines(client)


def document(one: Listed) -> dict[str, Any]:
    """Return the keys of `--json`, which stay the same from one release to the next."""
    return {
        "pipeline": one.name,
        "state": one.state,
        "runs": list(one.runs),
        "stages": list(one.stages),
        "backlog": one.backlog,
        "dead": one.dead,
        "last_record": one.last.isoformat() if one.last else None,
        "fault": redact(one.fault),
    }


def _table(found: Sequence[Listed]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("pipeline", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for column in ("stages", "backlog", "dead"):
        table.add_column(column, justify="right")
    table.add_column("last record", no_wrap=True)
    for one in found:
        many = f" ({len(one.runs)} processes)" if len(one.runs) > 1 else ""
        backlog = "?" if one.backlog is None or one.fault else f"{one.backlog:,}"
        table.add_row(
            Text(one.name),
            Text(one.state + many, style="green" if one.runs else ""),
            Text("?" if one.fault else f"{len(one.stages):,}"),
            Text(backlog),
            Text("?" if one.fault else f"{one.dead:,}", style="bold red" if one.dead else ""),
            Text(moment(one.last) if one.last else "-"),
        )
    return table
