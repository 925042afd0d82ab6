"""`rsq-pipe run`: run a pipeline until it is done or told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import rich_click as click

import rsq_pipe.cli.structlog_alone  # noqa: F401  before anything else of ours imports it

# isort: split
from rsq_pipe.cli.before_run import ask_before_fresh, check_sources, check_trace_file, warn
from rsq_pipe.cli.duration_type import DURATION
from rsq_pipe.cli.errors import DEAD_LETTERS, DONE, placing
from rsq_pipe.cli.leftovers import Rename, discard_option, rename_option, settle_leftovers
from rsq_pipe.cli.lost_server import LostServer
from rsq_pipe.cli.page_beside import page_beside, page_option
from rsq_pipe.cli.progress import is_lively, show
from rsq_pipe.cli.server_address import as_given, connect, redis_option, server_address
from rsq_pipe.cli.signals import leave_signals_to_parent
from rsq_pipe.cli.stage_name import STAGE, known
from rsq_pipe.cli.stopping import until_told
from rsq_pipe.engine.processes.forked import Forked, Told, fork
from rsq_pipe.engine.processes.supervised import NUMBER, SUPERVISED, own_number, say_ended
from rsq_pipe.engine.processes.supervisor import Supervisor
from rsq_pipe.engine.runner import Runner
from rsq_pipe.engine.standstill import Standstill
from rsq_pipe.engine.summary import Summary
from rsq_pipe.errors import PipelineChangedError, RsqPipeError
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load
from rsq_pipe.telemetry.logs import FORMATS, LogFormat, set_up
from rsq_pipe.telemetry.observe import observe
from rsq_pipe.telemetry.observer import Observer

Tell = Callable[[Summary | None], None]


@click.command("run")
@click.argument("spec", type=click.Path(path_type=Path), metavar="SPEC")
@redis_option
@click.option(
    "--stage",
    "stages",
    type=STAGE,
    multiple=True,
    metavar="NAME",
    help="Run only this stage; may be given again.",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help="Read the next N records of each source, to try the pipeline out; then drain, and end. Another run "
    "goes on after them.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Run the pipeline in this many processes, and restart those that die.",
)
@click.option(
    "--fresh",
    is_flag=True,
    help="Start over: forget positions, streams and dead letters, and replace what the sinks wrote. "
    "On a terminal it asks before dead letters are deleted.",
)
@rename_option
@discard_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--drain-timeout",
    type=DURATION,
    metavar="DURATION",
    help="How long a stop may take, instead of the spec's.",
)
@click.option(
    "--trace-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Append the traced records' spans to this file, as OTLP JSON; see `rsq-pipe trace`. They go to a "
    "collector if OTEL_EXPORTER_OTLP_ENDPOINT names one.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65_535),
    metavar="PORT",
    help="Answer /metrics for Prometheus, /livez and /readyz on this port; 0 takes a free one. The second of "
    "several processes takes the next port, and so on.",
)
@click.option(
    "--metrics-host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="The address to answer on; 0.0.0.0 lets other machines ask.",
)
@page_option
@click.option(
    "--log-format",
    type=click.Choice(FORMATS),
    default="auto",
    show_default=True,
    help="Log lines for people (console) or machines (json); auto: console on a terminal. With json, no "
    "table is drawn either.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the summary as one line of JSON to standard output, the last line there, and no table.",
)
@click.option("--quiet", is_flag=True, help="Print only warnings and errors; with --json, the summary.")
@click.pass_context
def command(  # noqa: PLR0917  one parameter per option
    ctx: click.Context,
    spec: Path,
    url: str | None,
    stages: tuple[str, ...],
    limit: int | None,
    processes: int,
    fresh: bool,
    renames: tuple[Rename, ...],
    discards: tuple[str, ...],
    yes: bool,
    drain_timeout: float | None,
    trace_file: Path | None,
    metrics_port: int | None,
    metrics_host: str,
    page: tuple[str, int] | None,
    log_format: LogFormat,
    as_json: bool,
    quiet: bool,
) -> None:
    """
    Run a pipeline.

    Ends by itself when every source has ended and everything is drained: exit code 0, or 4 if dead letters
    appeared. Otherwise it runs until SIGTERM or SIGINT; a second one does not wait for what is in flight.
    Closing the terminal (SIGHUP) stops it too, except under nohup. With --stage, the other stages must be run
    by another process: the run waits for them, too. If the file lacks stages that still hold something, the
    run is refused with exit code 2 and the choices: see `rsq-pipe plan`.
    """
    _refuse_what_excludes(processes, stages, limit, fresh=fresh, moves=bool(renames or discards))
    set_up(log_format, level=logging.WARNING if quiet else logging.INFO, process=own_number)
    forked = fork(processes) if processes > 1 else []  # before a handler is imported, or a connection made
    if isinstance(forked, Told):  # in a forked process, from here on
        processes, url, fresh, renames, discards, page = 1, forked.address, False, (), (), None
        forked = []
    graph = load(spec, look=True)
    names = known(graph, stages)
    check_trace_file(graph, trace_file)
    if SUPERVISED not in os.environ:
        warn(graph)
        check_sources(graph, names, shared=processes > 1)
    tell = partial(_tell, graph, names, as_json=as_json, log_format=log_format, quiet=quiet)
    with placing(graph), ExitStack() as stack:
        server = LostServer()
        address = stack.enter_context(server_address(graph, url, server.lost))
        if renames or discards:
            asyncio.run(settle_leftovers(address, graph, renames, discards))
        if fresh and not yes:
            ask_before_fresh(graph, address)
        stack.enter_context(page_beside(address, page))
        if processes > 1:
            options = [*_options(stages, drain_timeout, log_format), *(["--quiet"] if quiet else [])]
            options += _watching(trace_file, metrics_port, metrics_host)
            work = _supervise(
                *(graph, address, processes, options, forked), names=names, fresh=fresh, tell=tell
            )
        else:
            port = None if metrics_port is None else _own_port(metrics_port)
            observer = stack.enter_context(
                observe(
                    graph,
                    os.environ,
                    trace_file=trace_file,
                    address=None if port is None else (metrics_host, port),
                )
            )
            work = _run(
                graph,
                address,
                list(dict.fromkeys(names)) or None,
                observer,
                fresh=fresh,
                drain_timeout=drain_timeout,
                tables=log_format != "json" and not quiet,
                tell=tell,
                limit=limit,
            )
        gc.freeze()  # imported objects stay, and need not be examined by the garbage collector
        leave_signals_to_parent()
        try:
            with server.ends():
                summary = asyncio.run(work)
        except PipelineChangedError as exc:
            raise exc.with_options(as_given(ctx)) from None
    code = DEAD_LETTERS if summary.dead else DONE
    tell(summary)
    if SUPERVISED in os.environ and summary.finished:  # and it was not stopped
        say_ended(code)
    ctx.exit(code)


def _refuse_what_excludes(
    processes: int, stages: Sequence[str], limit: int | None, *, fresh: bool, moves: bool
) -> None:
    if fresh and stages:
        raise click.UsageError("--fresh starts the whole pipeline over; leave --stage out, or --fresh")
    if fresh and moves:
        raise click.UsageError("--fresh forgets what all stages hold; leave --rename and --discard out")
    if limit is not None and processes > 1:
        raise click.UsageError("--limit tries a pipeline out, in one process; leave --processes out")


def _tell(
    graph: Graph,
    names: Sequence[str],
    summary: Summary | None,
    *,
    as_json: bool,
    log_format: LogFormat,
    quiet: bool,
) -> None:
    if summary is not None and SUPERVISED not in os.environ and (as_json or not quiet):
        from rsq_pipe.cli.run_report import report as report_end  # noqa: PLC0415  it takes 60 ms

        report_end(graph, summary, names or None, as_json=as_json, log_format=log_format)


async def _run(
    graph: Graph,
    address: str,
    names: Sequence[str] | None,
    observer: Observer,
    *,
    fresh: bool,
    drain_timeout: float | None,
    tables: bool,
    tell: Tell,
    limit: int | None,
) -> Summary:
    async with connect(address) as client:
        runner = Runner(
            *(graph, client),
            stages=names,
            fresh=fresh,
            drain_timeout=drain_timeout,
            observer=observer,
            limit=limit,
        )
        lively = tables and SUPERVISED not in os.environ and is_lively(graph, names)
        beside = asyncio.ensure_future(show(runner, names, lively=lively))

        async def run() -> Summary:
            try:
                with Standstill(graph.pipeline, graph.root):
                    return await runner.run()
            finally:
                beside.cancel()
                await asyncio.wait([beside])
                if runner.cut:
                    from rsq_pipe.cli.run_report import tell_cut  # noqa: PLC0415

                    tell_cut(graph, sorted(runner.cut))

        return await until_told(runner.stop, lambda: _told_of(run, runner, tell))


async def _supervise(
    graph: Graph,
    address: str,
    processes: int,
    options: Sequence[str],
    forked: Sequence[Forked],
    *,
    names: Sequence[str],
    fresh: bool,
    tell: Tell,
) -> Summary:
    async with connect(address) as client:
        supervisor = Supervisor(
            *(graph, client, address),
            processes=processes,
            options=options,
            stages=names,
            fresh=fresh,
            forked=forked,
        )
        return await until_told(supervisor.stop, lambda: _told_of(supervisor.run, supervisor, tell))


async def _told_of(run: Callable[[], Awaitable[Summary]], by: Runner | Supervisor, tell: Tell) -> Summary:
    """Run; if that ends with an error, still report what was done before showing the error."""
    try:
        return await run()
    except RsqPipeError:
        tell(by.summary)
        raise


def _options(stages: Sequence[str], drain_timeout: float | None, log_format: LogFormat) -> list[str]:
    options = [word for stage in stages for word in ("--stage", stage)]
    if drain_timeout is not None:
        options += ["--drain-timeout", f"{drain_timeout:g}s"]
    return [*options, "--log-format", log_format]


def _watching(trace_file: Path | None, metrics_port: int | None, metrics_host: str) -> list[str]:
    options = [] if trace_file is None else ["--trace-file", str(trace_file)]
    if metrics_port is not None:
        options += ["--metrics-port", str(metrics_port), "--metrics-host", metrics_host]
    return options


def _own_port(port: int) -> int:
    """Return a port of its own for each of several processes."""
    return port + int(os.environ.get(NUMBER, "0")) if port else 0
