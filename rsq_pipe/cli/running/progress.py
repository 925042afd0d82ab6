"""Progress: a live table on a terminal, otherwise one log line per interval; with the time left."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from msgspec import Struct

from rsq_pipe.engine.fusion import fused
from rsq_pipe.engine.housekeeping.briefly import briefly
from rsq_pipe.engine.processes import reports
from rsq_pipe.engine.processes.supervised import is_supervised
from rsq_pipe.engine.processes.supervisor import Supervisor
from rsq_pipe.engine.runner import Runner
from rsq_pipe.engine.state.state import PipelineState, read_state
from rsq_pipe.engine.summary import Summary, summarize
from rsq_pipe.spec.graph import ConnectorRef, Graph
from rsq_pipe.streams.backoff import Backoff, Outage
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.units import age

FRAME = 0.25
"""Seconds between two frames on a terminal."""

_TAKEN = {
    name: f"stage {name}"
    for name in (
        "seconds",
        "waiting",
        "dead",
        "paused",
        "away",
        "awaits",
        "full",
        "process",
        "pipeline",
        "event",
        "level",
        "timestamp",
    )
}
"""A log line's own field -> the field's name for a stage of the same name."""

INTERVAL = 10.0
"""Seconds between two log lines if there is no terminal, while a run is young."""

EARLY, LATER = 600.0, 60.0
"""Seconds after which a run is no longer young, and between two lines from then on: it may last for years."""

SURE = 2.0
"""Seconds for which a source is observed before its remaining time is shown."""


async def show(runner: Runner, stages: Sequence[str] | None = None, *, lively: bool) -> None:
    """Show the progress of a run of some or all stages until cancelled; or report it to the supervisor."""
    if is_supervised():
        await _report(runner)
    began = time.monotonic()
    if not lively:
        await _log_progress(runner.graph, _look_at(runner), began)
        return
    # Imported here: importing the drawing code takes 60 ms, and most runs have no terminal.
    from rsq_pipe.cli.output.frames import frames  # noqa: PLC0415
    from rsq_pipe.cli.output.table import progress_table  # noqa: PLC0415

    above, left = fused(runner.graph, stages), TimeLeft()
    with frames() as screen:
        while True:
            await asyncio.sleep(FRAME)
            read = left.describe(runner.shares, time.monotonic())
            so_far = _so_far(runner.graph, runner.before, runner.state, began)
            screen.draw(progress_table(runner.graph, so_far, runner.state, above, read))


async def show_processes(supervisor: Supervisor, client: StreamClient) -> None:
    """
    Log the progress of all processes of a supervisor until cancelled.

    There is no live table: lines that its processes print to the same terminal would tear it apart.
    """
    await _log_progress(supervisor.graph, _look_at_processes(supervisor, client), time.monotonic())


def is_lively(graph: Graph, stages: Sequence[str] | None) -> bool:
    """Return whether there is a terminal to draw on, and no sink that prints its records there."""
    prints = any(
        (stages is None or stage.name in stages)
        and isinstance(stage.options, ConnectorRef)
        and (stage.options.kind, stage.options.type) == ("sink", "stdout")
        for stage in graph.stages
    )
    return sys.stderr.isatty() and not (prints and sys.stdout.isatty())


def show_cursor() -> None:
    """Show the terminal's cursor again, which a live table hides: the process is about to end abruptly."""
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), b"\x1b[?25h")


class _Seen(Struct, frozen=True):
    """
    Hold what is to be shown of a run at one moment.

    Args:
        before: The counters it began with.
        state: What the pipeline holds, or held when the server last answered.
        shares: Share of each source that has been read.
        obstacles: What keeps the pipeline from going on, by kind.
    """

    before: Mapping[str, int]
    state: PipelineState | None
    shares: Mapping[str, float]
    obstacles: Mapping[str, str]


_Look = Callable[[], Awaitable[_Seen]]


def _look_at(runner: Runner) -> _Look:
    async def look() -> _Seen:
        return _Seen(runner.before, runner.state, runner.shares, stands(runner))

    return look


def _look_at_processes(supervisor: Supervisor, client: StreamClient) -> _Look:
    state: PipelineState | None = None

    async def look() -> _Seen:
        nonlocal state
        if supervisor.before is not None:
            state = await briefly(read_state(client, supervisor.graph)) or state
        said = supervisor.reports
        return _Seen(supervisor.before or {}, state, said.shares, said.obstacles)

    return look


async def _report(runner: Runner) -> None:
    while True:
        reports.report(runner.shares, stands(runner))
        await asyncio.sleep(reports.PERIOD)


async def _log_progress(graph: Graph, look: _Look, began: float) -> None:
    log = structlog.get_logger("rsq_pipe").bind(pipeline=graph.pipeline)
    left = TimeLeft()
    left.describe((await look()).shares, began)
    while True:
        await asyncio.sleep(until_next_line(time.monotonic() - began))
        seen = await look()
        summary = _so_far(graph, seen.before, seen.state, began)
        waiting = sum(stage.backlog for stage in seen.state.stages.values()) if seen.state else 0
        read = left.describe(seen.shares, time.monotonic())
        stages = {
            name: ", ".join([f"{stage.records:,} in", *([read[name]] if name in read else [])])
            for name, stage in summary.stages.items()
            if seen.state is not None  # no number is known of a server that is away from the beginning
        }
        own = {"seconds": round(summary.seconds), "waiting": waiting, "dead": summary.dead, **seen.obstacles}
        log.info("running", **own, **{_TAKEN.get(name, name): text for name, text in stages.items()})


def until_next_line(lasted: float) -> float:
    """Return after how many seconds the next line is logged, if the run has lasted so many."""
    return INTERVAL if lasted < EARLY else LATER


def stands(runner: Runner) -> dict[str, str]:
    """Repeat what keeps a pipeline from going on: it was logged only once, maybe long ago."""
    found = {}
    if runner.state and runner.state.pauses:
        found["paused"] = "; ".join(f"{name}: {one.why}" for name, one in runner.state.pauses.items())
    if runner.awaits:
        found["awaits"] = ", ".join(runner.awaits)
    if Backoff.any_waits_for_room():
        found["full"] = "the server is out of memory, and what sources bring has to wait: raise maxmemory"
    if away := Outage.lasting():
        found["away"] = "; ".join(f"server {where} for {age(seconds)}" for where, seconds in away.items())
    return found


def _so_far(graph: Graph, before: Mapping[str, int], state: PipelineState | None, began: float) -> Summary:
    after = state.counters if state else {}
    seconds = time.monotonic() - began
    return summarize(graph, before, after, seconds=seconds, finished=False, dead_letters=0)


class TimeLeft:
    """
    Estimate the time left from each source's progress since it was first seen in this run.

    The amount read by an earlier run shows nothing about the speed of this one.
    """

    def __init__(self) -> None:
        self._first: dict[str, tuple[float, float]] = {}

    def describe(self, shares: Mapping[str, float], now: float) -> dict[str, str]:
        """
        Return how far each source is: `43% read, 2m 5s left`.

        Args:
            shares: Share of each that has been read, 0 to 1.
            now: Seconds of a monotonic clock.
        """
        return {name: self._describe(name, share, now) for name, share in shares.items()}

    def _describe(self, name: str, share: float, now: float) -> str:
        if share >= 1:
            return "all read"
        first, since = self._first.setdefault(name, (share, now))
        read, seconds = share - first, now - since
        share_read = f"{min(share, 0.99):.0%} read"  # never 100% before all is read
        if read <= 0 or seconds < SURE:
            return share_read
        return f"{share_read}, {age(max(1.0, seconds * (1 - share) / read))} left"
