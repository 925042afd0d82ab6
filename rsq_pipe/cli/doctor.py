"""`rsq-pipe doctor`: how a server is set up, which guarantees follow, and how to fix what is missing."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import rich_click as click
from msgspec import to_builtins
from rich.padding import Padding
from rich.text import Text

from rsq_pipe.cli.errors import DONE, FAILED
from rsq_pipe.cli.options.server_address import connect, redis_option, server_address
from rsq_pipe.cli.output.note import console_for
from rsq_pipe.cli.output.printable import on_one_line, printable
from rsq_pipe.ops.doctor.checkup import examine
from rsq_pipe.ops.doctor.facts import LEVELS, Finding
from rsq_pipe.redaction import redact
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load

_STYLES = {"ok": "green", "note": "cyan", "warning": "yellow", "problem": "bold red"}


@click.command("doctor")
@click.argument("spec", type=click.Path(path_type=Path), metavar="[SPEC]", required=False)
@redis_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, spec: Path | None, url: str | None, as_json: bool) -> None:
    """
    Check a server for what a pipeline needs of it.

    Version and known defects, persistence, memory, the user's rights, scripts, replicas, cluster, clock,
    latency. Each finding says what was seen, what holds because of it, and how to fix it. Changes nothing.
    Exit code 1 if there is a problem, 3 if the server is not reachable.
    """
    graph = load(spec, operate=True) if spec else None
    with ExitStack() as stack:
        if graph is not None:
            address = stack.enter_context(server_address(graph, url))
        elif url:
            address = url
        else:
            raise click.UsageError("name a pipeline file, or a server with --redis URL")
        server, findings = asyncio.run(_examined(address, graph))
    if as_json:
        document = {"server": server, "findings": [to_builtins(finding) for finding in findings]}
        sys.stdout.write(redact(json.dumps(document, indent=2)) + "\n")
    else:
        _show(server, findings)
    ctx.exit(FAILED if any(finding.level == "problem" for finding in findings) else DONE)


async def _examined(address: str, graph: Graph | None) -> tuple[str, list[Finding]]:
    # The connection sets no name: a user without that right could not even be told so.
    async with connect(address, name=None) as client:
        return client.channel.address, await examine(client, graph)


def _show(server: str, findings: Sequence[Finding]) -> None:
    console = console_for(sys.stdout)
    console.print(Text(on_one_line(server)))
    for finding in findings:
        console.print()
        console.print(
            Text.assemble(
                (f"{finding.level:8}", _STYLES[finding.level]), printable(f"{finding.check}: {finding.seen}")
            )
        )
        console.print(Padding(Text(finding.guarantee, style="dim"), (0, 0, 0, 8), expand=False))
        if finding.mend:
            console.print(
                Padding(Text(printable(f"-> {finding.mend}"), style="bold"), (0, 0, 0, 8), expand=False)
            )
    counts = {level: sum(finding.level == level for finding in findings) for level in reversed(LEVELS)}
    console.print()
    shown = (
        f"{count} {level}{'s' * (count > 1 and level != 'ok')}" for level, count in counts.items() if count
    )
    console.print(", ".join(shown))
