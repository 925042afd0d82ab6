"""`rsq-pipe dlq purge`: dead letters deleted for good."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter

import rich_click as click

from rsq_pipe.cli.dlq_confirm import INTERRUPTED, carried_out, confirm, refuse_to_guess, show_plan
from rsq_pipe.cli.dlq_console import console, letters, remark, tell_passed_over
from rsq_pipe.cli.dlq_request import DlqRequest, dlq_options
from rsq_pipe.cli.printable import json_line
from rsq_pipe.ops.plan import Plan
from rsq_pipe.ops.progress import Progress
from rsq_pipe.ops.purge import plan_purge, purge
from rsq_pipe.streams.removal import Removed


@click.command("purge")
@dlq_options
@click.option("--dry-run", is_flag=True, help="Show what it would do, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def command(ctx: click.Context, request: DlqRequest, dry_run: bool, yes: bool) -> None:
    """
    Delete dead letters for good.

    `dlq export` keeps a copy first.
    """
    refuse_to_guess("purge", yes=yes, dry_run=dry_run)
    with request.server() as address:
        code = asyncio.run(_purge(request, address, Progress(), dry_run=dry_run, yes=yes))
    ctx.exit(code)


async def _purge(request: DlqRequest, address: str, progress: Progress, *, dry_run: bool, yes: bool) -> int:
    async with request.letters(address) as found:
        plan = await plan_purge(found)
        tell_passed_over(found.sieve)
        show_plan(plan, as_json=request.as_json)
        if not dry_run and plan.count:
            if not yes:
                confirm(f"Delete {letters(plan.count)} for good?")
            try:
                await carried_out(purge(found, progress), progress, plan.count)
            finally:
                _report(request, plan, progress)
        elif request.as_json:
            _report(request, plan, progress)
        else:
            console().print(f"{request.pipeline}: {letters(plan.count)} would be deleted; nothing was done")
    return INTERRUPTED if progress.stopping.is_set() else 0


def _report(request: DlqRequest, plan: Plan, progress: Progress) -> None:
    if request.as_json:
        planned = Counter[str]()
        for group in plan.groups:
            planned[group.stage] += group.count
        for stage, count in planned.items():
            done = progress.stages.get(stage, Removed())
            counts = {"deleted": done.removed, "held": done.held, "gone": done.gone}
            sys.stdout.write(json_line({"stage": stage, "planned": count, **counts}))
        return
    total = progress.total
    console().print(f"{request.pipeline}: {letters(total.removed)} deleted")
    if total.held:
        remark(f"{letters(total.held)} left: a stage that reads them as its input has them in hand")
    if total.gone:
        remark(f"{letters(total.gone)} were taken by somebody else meanwhile")
