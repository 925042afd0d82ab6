"""`rsq-pipe run`: run a pipeline until it is done or told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module

import rich_click as click

import rsq_pipe.cli.running.structlog_alone  # noqa: F401  before anything else of ours imports it

# isort: split
from rsq_pipe.cli.errors import DEAD_LETTERS, DONE, placing
from rsq_pipe.cli.options.server_address import as_given, connect, server_address
from rsq_pipe.cli.options.stage_name import known
from rsq_pipe.cli.running.before_run import (
    ask_before_fresh,
    check_columns,
    check_sources,
    check_trace_file,
    report_endless_run,
    warn,
    warn_of_eviction,
)
from rsq_pipe.cli.running.failed_start import store_failed_start, storing_refusal
from rsq_pipe.cli.running.leftovers import settle_leftovers
from rsq_pipe.cli.running.lost_server import LostServer
from rsq_pipe.cli.running.page_beside import page_beside
from rsq_pipe.cli.running.progress import is_lively, show, show_processes
from rsq_pipe.cli.running.run_request import RunRequest, run_options
from rsq_pipe.cli.running.signals import leave_signals_to_parent
from rsq_pipe.cli.running.stopping import run_until_signal
from rsq_pipe.engine.processes.forked import ChildStart, Forked, fork
from rsq_pipe.engine.processes.reports import Reports
from rsq_pipe.engine.processes.standstill import Standstill
from rsq_pipe.engine.processes.supervised import SUPERVISED, own_number, report_exit_code
from rsq_pipe.engine.processes.supervisor import Supervisor
from rsq_pipe.engine.runner import Runner
from rsq_pipe.engine.summary import Summary
from rsq_pipe.errors import PipelineChangedError, RsqPipeError
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.telemetry.logs import set_up
from rsq_pipe.telemetry.observe import observe
from rsq_pipe.telemetry.observer import Observer

Report = Callable[[Summary | None], None]


@click.command("run")
@run_options
@click.pass_context
def command(ctx: click.Context, request: RunRequest) -> None:
    """
    Run a pipeline.

    Ends by itself when every source has ended and everything is drained: exit code 0, or 4 if dead letters
    appeared. Otherwise it runs until SIGTERM or SIGINT; a second one does not wait for what is in flight.
    Closing the terminal (SIGHUP) stops it too, except under nohup. With --stage, the other stages must be run
    by another process: the run waits for them, too. If the file lacks stages that still hold something, the
    run is refused with exit code 2 and the choices: see `rsq-pipe plan`.
    """
    request.refuse_what_excludes()
    level = logging.WARNING if request.quiet else logging.INFO
    set_up(request.log_format, level=level, process=own_number)
    # Before a handler is imported, or a connection made.
    reports = Reports() if request.processes > 1 else None
    forked = fork(request.processes, reports.sent_to) if reports is not None else []
    if isinstance(forked, ChildStart):  # in a forked process, from here on
        request, forked = request.of_one_process(forked.address), []
    graph = load(request.spec, check_fields=True)
    names = known(graph, request.stages)
    check_trace_file(graph, request.trace_file)
    if SUPERVISED not in os.environ:
        warn(graph)
        with storing_refusal(graph, request.url):
            check_sources(graph, names, shared=request.processes > 1)
            check_columns(graph, names)
        report_endless_run(graph, names)
    report = partial(_report, graph, names, request)
    with placing(graph), ExitStack() as stack:
        server = LostServer()
        address = stack.enter_context(server_address(graph, request.url, server.lost))
        if request.renames or request.discards:
            with storing_refusal(graph, address), repeating(ctx):
                asyncio.run(settle_leftovers(address, graph, request.renames, request.discards))
        if request.fresh and not request.yes:
            ask_before_fresh(graph, address)
        stack.enter_context(page_beside(address, request.page))
        if request.processes > 1:
            work = _supervise(graph, address, names, request, forked, reports=reports, report=report)
        else:
            observed = observe(
                graph, os.environ, trace_file=request.trace_file, address=request.metrics_address
            )
            work = _run(graph, address, names, request, stack.enter_context(observed), report=report)
        gc.freeze()  # what was imported stays, and need not be looked at for garbage
        gc.set_threshold(100_000, 50, 100)  # batches of records are no garbage either, but handlers make some
        leave_signals_to_parent()
        with repeating(ctx), server.ends():
            summary = asyncio.run(work)
    code = DEAD_LETTERS if summary.dead else DONE
    report(summary)
    if SUPERVISED in os.environ and summary.finished:  # and it was not stopped
        report_exit_code(code)
    ctx.exit(code)


@contextmanager
def repeating(ctx: click.Context) -> Iterator[None]:
    """Repeat the options of the command line in the commands that a refused file offers."""
    try:
        yield
    except PipelineChangedError as exc:
        raise exc.with_options(as_given(ctx)) from None


def _report(graph: Graph, names: Sequence[str], request: RunRequest, summary: Summary | None) -> None:
    if summary is not None and SUPERVISED not in os.environ and (request.as_json or not request.quiet):
        from rsq_pipe.cli.running.run_report import report  # noqa: PLC0415  it takes 60 ms

        report(graph, summary, names or None, as_json=request.as_json, log_format=request.log_format)


async def _run(
    graph: Graph,
    address: str,
    names: Sequence[str],
    request: RunRequest,
    observer: Observer,
    *,
    report: Report,
) -> Summary:
    stages = list(dict.fromkeys(names)) or None
    async with connect(address) as client:
        runner = Runner(
            *(graph, client),
            stages=stages,
            fresh=request.fresh,
            drain_timeout=request.drain_timeout,
            observer=observer,
            limit=request.limit,
        )
        tables = request.log_format != "json" and not request.quiet
        lively = tables and SUPERVISED not in os.environ and is_lively(graph, stages)
        beside = asyncio.ensure_future(show(runner, stages, lively=lively))

        async def run() -> Summary:
            try:
                with Standstill(graph.pipeline, graph.root):
                    return await _warned(client, graph, runner.run)
            finally:
                beside.cancel()
                await asyncio.wait([beside])
                if runner.cut:
                    from rsq_pipe.cli.running.run_report import report_cut_sources  # noqa: PLC0415

                    report_cut_sources(graph, sorted(runner.cut))

        return await run_until_signal(runner.stop, lambda: _reporting_errors(run, runner, client, report))


async def _supervise(
    graph: Graph,
    address: str,
    names: Sequence[str],
    request: RunRequest,
    forked: Sequence[Forked],
    *,
    reports: Reports | None,
    report: Report,
) -> Summary:
    async with connect(address) as client:
        supervisor = Supervisor(
            *(graph, client, address),
            processes=request.processes,
            options=request.options_of_processes(),
            stages=names,
            fresh=request.fresh,
            drain_timeout=request.drain_timeout,
            forked=forked,
            reports=reports,
            at_end=partial(
                import_module, "rsq_pipe.cli.running.run_report"
            ),  # 60 ms, while the processes end
        )
        beside = asyncio.ensure_future(show_processes(supervisor, client))

        async def run() -> Summary:
            try:
                return await _warned(client, graph, supervisor.run)
            finally:
                beside.cancel()
                await asyncio.wait([beside])

        return await run_until_signal(
            supervisor.stop, lambda: _reporting_errors(run, supervisor, client, report)
        )


async def _warned(client: StreamClient, graph: Graph, run: Callable[[], Awaitable[Summary]]) -> Summary:
    if SUPERVISED not in os.environ:  # once, not by each process
        await warn_of_eviction(client, graph)
    return await run()


async def _reporting_errors(
    run: Callable[[], Awaitable[Summary]], by: Runner | Supervisor, client: StreamClient, report: Report
) -> Summary:
    """Run; if that ends with an error, still report what was done before showing the error."""
    try:
        return await run()
    except RsqPipeError as exc:
        if not by.has_begun:  # what ends it later, it stores itself
            await store_failed_start(client, by.graph, exc)
        report(by.summary)
        raise
