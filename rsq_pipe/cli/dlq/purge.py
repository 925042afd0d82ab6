"""`rsq-pipe dlq purge`: delete dead letters for good."""

from __future__ import annotations

import asyncio
import sys
from functools import partial

import rich_click as click

from rsq_pipe.cli.dlq.confirm import (
    carry_out,
    dry_run_option,
    noted,
    planned,
    print_untouched,
    refuse_to_guess,
    yes_option,
)
from rsq_pipe.cli.dlq.request import DlqRequest, dlq_options
from rsq_pipe.cli.output.console import console, how_many, print_passed_over
from rsq_pipe.cli.output.printable import json_line
from rsq_pipe.ops.dead_letters.progress import Preview, Progress
from rsq_pipe.ops.dead_letters.purge import preview_purge, purge
from rsq_pipe.streams.removal import Removed


@click.command("purge")
@dlq_options
@dry_run_option
@yes_option
@click.pass_context
def command(ctx: click.Context, request: DlqRequest, dry_run: bool, yes: bool) -> None:
    """
    Delete dead letters for good.

    `dlq export` keeps a copy first.
    """
    refuse_to_guess("purge", yes=yes, dry_run=dry_run)
    with request.server() as address:
        code = asyncio.run(_purge(request, address, dry_run=dry_run, yes=yes))
    ctx.exit(code)


async def _purge(request: DlqRequest, address: str, *, dry_run: bool, yes: bool) -> int:
    async with request.dead_letters(address) as found:
        plan = await preview_purge(found)
        print_passed_over(found.sieve)
        question = f"Delete {how_many(plan.count)} for good?"
        work = partial(noted(found, "purge", plan).around, partial(purge, found))
        return await carry_out(
            *(request, plan, work, _report), question=question, done="deleted", yes=yes, dry_run=dry_run
        )


def _report(request: DlqRequest, plan: Preview, progress: Progress) -> None:
    if request.as_json:
        counts = planned(plan)
        for stage in dict.fromkeys([*counts, *plan.missing]):
            done = progress.stages.get(stage, Removed())
            untouched = {"held": done.held, "gone": done.gone, "missing": plan.missing.get(stage, 0)}
            document = {"stage": stage, "planned": counts[stage], "deleted": done.removed, **untouched}
            sys.stdout.write(json_line(document))
        return
    console().print(f"{request.pipeline}: {how_many(progress.total.removed)} deleted")
    print_untouched(progress)
