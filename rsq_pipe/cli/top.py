"""`rsq-pipe top`: watch a pipeline live on a terminal, with keys to pause, look and replay."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import rich_click as click

from rsq_pipe import redaction
from rsq_pipe.cli.options.duration_type import DURATION
from rsq_pipe.cli.options.server_address import address_of_runs, connect, redis_option
from rsq_pipe.cli.options.spec_argument import spec_argument
from rsq_pipe.errors import RsqPipeError
from rsq_pipe.extras import install
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load

BRISKEST = 0.1
"""Minimum seconds between two looks: looking must not load the server."""


@click.command("top")
@spec_argument
@redis_option
@click.option(
    "--every", type=DURATION, default="1s", show_default=True, help="How often it looks.", metavar="DURATION"
)
def command(spec: Path, url: str | None, every: float) -> None:
    """
    Watch a pipeline on this terminal, with keys to pause, look and replay.

    Enter lists the dead letters of the stage under the cursor, and shows one whole; there `r` replays it, `a`
    all of the stage, each after a question. `p` pauses a stage, `r` resumes it, `q` or Ctrl-C quits.
    Looking changes nothing on the server.
    """
    graph = load(spec, operate=True)
    redaction.add(graph.secrets)
    if not sys.stdout.isatty() or not sys.stdin.isatty():
        raise click.UsageError(
            "top needs a terminal; elsewhere `rsq-pipe status SPEC --watch` shows the same"
        )
    with address_of_runs(graph, url) as address:
        asyncio.run(_show(graph, address, max(every, BRISKEST)))


async def _show(graph: Graph, address: str, every: float) -> None:
    try:
        from rsq_pipe.cli.screen.app import Top  # noqa: PLC0415  an extra
    except ModuleNotFoundError as exc:
        raise RsqPipeError(f"top needs a package that is not installed: {install('top')}") from exc
    async with connect(address) as client:
        await Top(graph, client, every).run_async()
