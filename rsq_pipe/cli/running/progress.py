"""Progress: a live table on a terminal, otherwise one log line per interval; with the time left."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping, Sequence

import structlog

from rsq_pipe.engine.fusion import fused
from rsq_pipe.engine.runner import Runner
from rsq_pipe.engine.summary import Summary, summarize
from rsq_pipe.spec.graph import ConnectorRef, Graph
from rsq_pipe.streams.backoff import Backoff, Outage
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
"""Seconds between two log lines if there is no terminal."""

SURE = 2.0
"""Seconds for which a source is observed before its remaining time is shown."""


async def show(runner: Runner, stages: Sequence[str] | None = None, *, lively: bool) -> None:
    """Show the progress of a run of some or all stages until cancelled."""
    began = time.monotonic()
    if not lively:
        await _log_progress(runner, began)
        return
    # Imported here: importing the drawing code takes 60 ms, and most runs have no terminal.
    from rsq_pipe.cli.output.frames import frames  # noqa: PLC0415
    from rsq_pipe.cli.output.table import progress_table  # noqa: PLC0415

    above, left = fused(runner.graph, stages), TimeLeft()
    with frames() as screen:
        while True:
            await asyncio.sleep(FRAME)
            read = left.describe(runner.shares, time.monotonic())
            screen.draw(progress_table(runner.graph, _so_far(runner, began), runner.state, above, read))


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


async def _log_progress(runner: Runner, began: float) -> None:
    log = structlog.get_logger("rsq_pipe").bind(pipeline=runner.graph.pipeline)
    left = TimeLeft()
    left.describe(runner.shares, began)
    while True:
        await asyncio.sleep(INTERVAL)
        summary = _so_far(runner, began)
        state = runner.state
        waiting = sum(stage.backlog for stage in state.stages.values()) if state else 0
        read = left.describe(runner.shares, time.monotonic())
        stages = {
            name: ", ".join([f"{stage.records:,} in", *([read[name]] if name in read else [])])
            for name, stage in summary.stages.items()
        }
        own = {"seconds": round(summary.seconds), "waiting": waiting, "dead": summary.dead, **stands(runner)}
        log.info("running", **own, **{_TAKEN.get(name, name): text for name, text in stages.items()})


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


def _so_far(runner: Runner, began: float) -> Summary:
    after = runner.state.counters if runner.state else {}
    seconds = time.monotonic() - began
    return summarize(runner.graph, runner.before, after, seconds=seconds, finished=False, dead_letters=0)


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
