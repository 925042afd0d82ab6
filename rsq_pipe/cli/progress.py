"""Progress: a live table on a terminal, else one log line an interval."""

from __future__ import annotations

import asyncio
import sys
import time

import structlog
from rich.console import Console
from rich.live import Live

from rsq_pipe.cli.table import progress_table
from rsq_pipe.runtime.runner import Runner
from rsq_pipe.runtime.summary import Summary, summarize

FRAME = 0.25
"""Seconds between two frames on a terminal."""

INTERVAL = 10.0
"""Seconds between two log lines elsewhere."""


async def show(runner: Runner, *, lively: bool) -> None:
    """Show a run's progress until cancelled."""
    began = time.monotonic()
    if not lively:
        await _tell(runner, began)
        return
    console = Console(stderr=True)
    with Live(console=console, refresh_per_second=1 / FRAME, transient=True) as live:
        while True:
            await asyncio.sleep(FRAME)
            live.update(progress_table(runner.graph, _so_far(runner, began), runner.state))


def is_lively() -> bool:
    """Whether there is a terminal to draw on."""
    return sys.stderr.isatty()


async def _tell(runner: Runner, began: float) -> None:
    log = structlog.get_logger("rsq_pipe").bind(pipeline=runner.graph.pipeline)
    while True:
        await asyncio.sleep(INTERVAL)
        summary = _so_far(runner, began)
        state = runner.state
        waiting = sum(stage.backlog for stage in state.stages.values()) if state else 0
        stages = {name: f"{stage.received:,} in" for name, stage in summary.stages.items()}
        log.info("running", seconds=round(summary.seconds), waiting=waiting, dead=summary.dead, **stages)


def _so_far(runner: Runner, began: float) -> Summary:
    after = runner.state.counters if runner.state else {}
    seconds = time.monotonic() - began
    return summarize(runner.graph, runner.before, after, seconds=seconds, finished=False, dead_letters=0)
