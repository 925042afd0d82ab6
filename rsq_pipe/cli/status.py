"""`rsq-pipe status`: show how a pipeline is doing; with bounds, serve as a probe."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import rich_click as click
from msgspec import to_builtins
from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from rsq_pipe.cli.errors import DONE, FAILED
from rsq_pipe.cli.options.duration_type import DURATION
from rsq_pipe.cli.options.server_address import connect, is_unborn, redis_option, server_address
from rsq_pipe.cli.options.spec_argument import spec_argument
from rsq_pipe.cli.options.stage_name import STAGE, known
from rsq_pipe.cli.output.note import console_for
from rsq_pipe.cli.output.printable import printable
from rsq_pipe.cli.output.status_table import status_table
from rsq_pipe.errors import ServerUnavailableError
from rsq_pipe.ops.bounds import Bounds, Breach
from rsq_pipe.ops.status import PipelineStatus, never_ran, read_status
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load

BETWEEN = 0.5
"""Seconds between the two looks from which a rate is computed, if the pipeline is running."""

BRISKEST = 0.05
"""Minimum seconds between two looks of `--watch`: looking must not load the server."""


@click.command("status")
@spec_argument
@redis_option
@click.option("--stage", "stages", type=STAGE, multiple=True, help="Only this stage; may be given again.")
@click.option("--watch", is_flag=True, help="Look again and again, until Ctrl-C.")
@click.option(
    "--every",
    type=DURATION,
    default="2s",
    show_default=True,
    help="How often `--watch` looks.",
    metavar="DURATION",
)
@click.option(
    "--max-lag", type=click.IntRange(0), metavar="N", help="Undelivered records that may wait for a stage."
)
@click.option(
    "--max-oldest",
    type=DURATION,
    metavar="DURATION",
    help="How long ago the oldest record a stage has not settled may have been written.",
)
@click.option("--max-dlq", type=click.IntRange(0), metavar="N", help="Dead letters a stage may have.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON: one document, with `--watch` one per line."
)
@click.pass_context
def command(  # noqa: PLR0917  one parameter per option
    ctx: click.Context,
    spec: Path,
    url: str | None,
    stages: tuple[str, ...],
    watch: bool,
    every: float,
    max_lag: int | None,
    max_oldest: float | None,
    max_dlq: int | None,
    as_json: bool,
) -> None:
    """
    Show how a pipeline is doing.

    Per stage: records not yet delivered (lag), delivered but not settled (pending), the age of the oldest of
    both, records waiting for their next attempt, dead letters, consumers at work and gone, records per
    second. A stage marked (fused) gets its records in the worker of the stage above; only retries, replays
    and records written before fusing wait for it. Creates nothing. Exit code 1 if a bound is passed, a stage
    lost its place in a stream, the server or its disk is full, or a bound is given and the pipeline never ran
    there; 3 if it is not reachable: fit for a probe.
    """
    graph = load(spec, operate=True)
    known(graph, stages)
    show = Shown(Bounds(max_lag, max_oldest, max_dlq), stages, graph.spec, as_json=as_json)
    if watch:
        with server_address(graph, url) as address:
            asyncio.run(_watch(address, graph, show, max(every, BRISKEST)))
    else:
        show.once(status_of(graph, url, rates=True))
    ctx.exit(FAILED if show.passed else DONE)


def status_of(graph: Graph, url: str | None, *, rates: bool = False) -> PipelineStatus:
    """
    Look once, or twice half a second apart if rates are requested and the pipeline is running.

    Raises:
        ServerUnavailableError, ServerStartError: There is no server to ask.
    """
    if is_unborn(graph, url):
        return never_ran(graph)  # no server is started to find that out
    with server_address(graph, url) as address:
        return asyncio.run(_look(address, graph, rates=rates))


async def _look(address: str, graph: Graph, *, rates: bool) -> PipelineStatus:
    async with connect(address) as client:
        status = await read_status(client, graph)
        if not rates or not status.runs:
            return status
        await asyncio.sleep(BETWEEN)
        return (await read_status(client, graph)).since(status)


async def _watch(address: str, graph: Graph, show: Shown, every: float) -> None:
    """Look until stopped; report an unavailable server, and keep trying."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    async with connect(address) as client:
        before = await read_status(client, graph)
        with show.frames() as frame:
            frame(before)
            while not await _is_set(ended, every):
                try:
                    status = await read_status(client, graph)
                except ServerUnavailableError as exc:
                    frame(exc)
                else:
                    frame(status.since(before))
                    before = status


async def _is_set(ended: asyncio.Event, within: float) -> bool:
    with suppress(TimeoutError):
        await asyncio.wait_for(ended.wait(), within)
    return ended.is_set()


class Shown:
    """
    Print statuses, and remember whether the last one passed a bound.

    Args:
        bounds: The limits.
        stages: The stages to show; none for all.
        spec: The pipeline's file, as commands name it.
        as_json: Whether to print JSON.
    """

    def __init__(self, bounds: Bounds, stages: tuple[str, ...], spec: str, *, as_json: bool) -> None:
        self._bounds = bounds
        self._stages = stages
        self._spec = spec
        self._as_json = as_json
        self._console = console_for(sys.stdout)
        self.passed = False

    def once(self, status: PipelineStatus) -> None:
        """Print a status."""
        if self._as_json:
            sys.stdout.write(json.dumps(self._document(status), indent=2) + "\n")
        else:
            self._console.print(self._table(status))

    @contextmanager
    def frames(self) -> Iterator[Callable[[PipelineStatus | Exception], None]]:
        """Return a printer of successive statuses: in place on a terminal, otherwise one below the other."""
        if self._as_json:
            yield self._line
        elif not sys.stdout.isatty():
            yield lambda seen: self._console.print(self._drawn(seen))
        else:
            with Live(console=self._console, auto_refresh=False) as live:
                yield lambda seen: live.update(self._drawn(seen), refresh=True)

    def _line(self, seen: PipelineStatus | Exception) -> None:
        document = {"error": printable(str(seen))} if isinstance(seen, Exception) else self._document(seen)
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()

    def _drawn(self, seen: PipelineStatus | Exception) -> RenderableType:
        if isinstance(seen, Exception):
            return Text(printable(str(seen)), style="bold red")
        return self._table(seen)

    def _table(self, status: PipelineStatus) -> RenderableType:
        status = status.only(self._stages)
        return status_table(status, self._breaches(status), spec=self._spec)

    def _document(self, status: PipelineStatus) -> dict[str, Any]:
        status = status.only(self._stages)
        return {**status.document(), "breaches": [to_builtins(breach) for breach in self._breaches(status)]}

    def _breaches(self, status: PipelineStatus) -> tuple[Breach, ...]:
        breaches = self._bounds.breaches(status)
        self.passed = bool(breaches)
        return breaches
