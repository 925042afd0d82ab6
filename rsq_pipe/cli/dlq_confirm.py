"""Asking before dead letters are touched, and counting while they are."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from rsq_pipe.cli.dlq_console import console, failures, remark
from rsq_pipe.ops.plan import Plan
from rsq_pipe.ops.progress import Progress

INTERRUPTED = 130


def refuse_to_guess(verb: str, *, yes: bool, dry_run: bool) -> None:
    """Refuse where there is nobody to ask, before anything is done."""
    if not yes and not dry_run and not sys.stdin.isatty():
        raise click.UsageError(
            f"`dlq {verb}` asks before it touches anything, and here is nobody to ask; "
            "add --yes, or --dry-run to see what it would do"
        )


def show_plan(plan: Plan, *, as_json: bool) -> None:
    """Print what would go and what would stay; with --json aside, and only if somebody can be asked."""
    if plan.groups and (not as_json or sys.stderr.isatty()):
        screen = console(stderr=as_json)
        screen.print(failures(plan.groups, screen))
    for left in plan.left:
        remark(f"{left.count:,} of stage {left.stage} cannot go: {left.why}")


def confirm(question: str) -> None:
    """Ask; a no ends the command with nothing done."""
    click.confirm(question, abort=True, err=True)


async def carried_out(work: Coroutine[Any, Any, None], progress: Progress, count: int) -> None:
    """Do it with a bar where there is a terminal; the first signal ends it after the step under way."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, progress.stopping.set)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Bar(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    task = bar.add_task("dead letters", total=count)
    progress.notice = lambda: bar.update(task, completed=progress.total.removed)
    try:
        with bar:
            await work
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
