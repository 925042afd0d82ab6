"""Confirm: asks before dead letters are changed, shows progress, and reports the results."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from rsq_pipe.cli.dlq.request import DlqRequest
from rsq_pipe.cli.errors import DONE, FAILED
from rsq_pipe.cli.output.console import console, failures, how_many
from rsq_pipe.cli.output.printable import remark
from rsq_pipe.ops.audit import Action, operator
from rsq_pipe.ops.dead_letters.dead_letters import DeadLetters
from rsq_pipe.ops.dead_letters.progress import Preview, Progress
from rsq_pipe.ops.dead_letters.selection import Selection

INTERRUPTED = 130

dry_run_option = click.option("--dry-run", is_flag=True, help="Show what it would do, and do nothing.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def refuse_to_guess(verb: str, *, yes: bool, dry_run: bool) -> None:
    """Refuse before anything is done if there is no terminal to ask on."""
    if not yes and not dry_run and not sys.stdin.isatty():
        raise click.UsageError(
            f"`dlq {verb}` asks before it touches anything, and there is nobody to ask; "
            "add --yes, or --dry-run to see what it would do"
        )


async def carry_out(
    request: DlqRequest,
    plan: Preview,
    work: Callable[[Progress], Coroutine[Any, Any, None]],
    report: Callable[[DlqRequest, Preview, Progress], None],
    *,
    question: str,
    done: str,
    yes: bool,
    dry_run: bool,
) -> int:
    """Show a plan, ask, do the work, and report, even if interrupted; return the exit code."""
    progress = Progress()
    _show(plan, as_json=request.as_json)
    if not dry_run and plan.count:
        if not yes:
            click.confirm(question, abort=True, err=True)
        try:
            await _watched(work(progress), progress, plan.count)
            progress.end(plan)
        finally:
            report(request, plan, progress)
    elif request.as_json:
        report(request, plan, progress)
    elif dry_run:
        console().print(f"{request.pipeline}: {how_many(plan.count)} would be {done}; nothing was done")
    else:
        console().print(f"{request.pipeline}: {how_many(0)} {done}")
    if progress.stopping.is_set():
        return INTERRUPTED
    return FAILED if plan.missing and not plan.count else DONE


def print_untouched(progress: Progress) -> None:
    """Report the dead letters that were planned for but not moved or deleted."""
    total = progress.total
    if total.held:
        remark(f"{how_many(total.held)} left: a stage that reads them as its input has them in flight")
    if total.gone:
        remark(f"{how_many(total.gone)} were taken by somebody else in the meantime")


def planned(plan: Preview) -> Counter[str]:
    """Count the letters that would be moved or deleted, by stage."""
    counts = Counter[str]()
    for group in plan.groups:
        counts[group.stage] += group.count
    return counts


def noted(found: DeadLetters, action: str, plan: Preview, **more: Any) -> Action:
    """Describe the action for the pipeline's audit list; of `more`, only what is set."""
    more |= {"chosen": _chosen(found.selection)}
    stages = ", ".join(planned(plan))
    pipeline = found.queues[0].pipeline if found.queues else ""
    filled = {key: value for key, value in more.items() if value}
    who = operator()
    return Action(found.client, pipeline, who=who, action=action, stage=stages, count=plan.count, **filled)


def _chosen(selection: Selection) -> dict[str, Any]:
    """Describe which dead letters were meant, as an action on the page does."""
    where = selection.where.text if selection.where else ""
    chosen = {"where": where, "ids": len(selection.names), "limit": selection.limit}
    whole = selection.since is None and selection.age is None and not any(chosen.values())
    return {key: value for key, value in chosen.items() if value} | ({"all": True} if whole else {})


def _show(plan: Preview, *, as_json: bool) -> None:
    """Print what would be done; with --json on standard error, and only to a terminal."""
    if plan.groups and (not as_json or sys.stderr.isatty()):
        screen = console(stderr=as_json)
        screen.print(failures(plan.groups, screen))
    for left in plan.left:
        remark(f"{left.count:,} of stage {left.stage} cannot go: {left.why}")
    if missing := sum(plan.missing.values()):
        are = "is" if missing == 1 else "are"
        remark(f"{missing:,} of the dead letters named {are} not in the queue (any more)")


async def _watched(work: Coroutine[Any, Any, None], progress: Progress, count: int) -> None:
    """Do the work, with a progress bar on a terminal; the first signal ends it after the current step."""
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
