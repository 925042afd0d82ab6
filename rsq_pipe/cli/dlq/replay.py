"""`rsq-pipe dlq replay`: send dead letters back to the stage that failed them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

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
from rsq_pipe.cli.options.dead_letter_types import FieldType, RateType
from rsq_pipe.cli.output.console import console, how_many, print_passed_over
from rsq_pipe.cli.output.printable import json_line, remark
from rsq_pipe.ops.dead_letters.dead_letter_json import Edit, read_edit
from rsq_pipe.ops.dead_letters.edits import Edits
from rsq_pipe.ops.dead_letters.progress import Preview, Progress
from rsq_pipe.ops.dead_letters.replay import preview_replay, replay
from rsq_pipe.streams.removal import Removed
from rsq_pipe.streams.wording import unreadable


@click.command("replay")
@dlq_options
@click.option(
    "--set",
    "fields",
    type=FieldType(),
    multiple=True,
    metavar="FIELD=VALUE",
    help="Set a field of every payload, `customer.name` inside another, to JSON or else to text; may be "
    "given again. A dead letter without that field is left.",
)
@click.option(
    "--add",
    "added",
    type=FieldType(),
    multiple=True,
    metavar="FIELD=VALUE",
    help="The same, whether the field is there or not.",
)
@click.option(
    "--edit",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Replay exactly the dead letters in this file, with its payloads: what `dlq export` wrote.",
)
@click.option("--rate", type=RateType(), metavar="RATE", help="At most so many, such as 100/s.")
@dry_run_option
@yes_option
@click.pass_context
def command(  # noqa: PLR0917  one parameter an option
    ctx: click.Context,
    request: DlqRequest,
    fields: tuple[tuple[str, Any], ...],
    added: tuple[tuple[str, Any], ...],
    edit: Path | None,
    rate: float | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """
    Send dead letters back to exactly the stage that failed them.

    Each keeps its record id and headers, and starts with no attempts. Moving is atomic: a replay that is
    interrupted and called again loses and duplicates nothing. Nothing enters a source again: what a source
    could not read needs --edit, and then goes to the stages behind it.
    """
    refuse_to_guess("replay", yes=yes, dry_run=dry_run)
    edits = _edits_of(edit, fields, added)
    if edit:
        if request.selection.names:
            raise click.UsageError("--edit names the dead letters itself; leave --id out")
        request = request.only(names=edits.names)
    with request.server() as address:
        code = asyncio.run(_replay(request, address, edits, rate=rate, dry_run=dry_run, yes=yes))
    ctx.exit(code)


async def _replay(
    request: DlqRequest,
    address: str,
    edits: Edits,
    *,
    rate: float | None,
    dry_run: bool,
    yes: bool,
) -> int:
    async with request.dead_letters(address) as found:
        plan = await preview_replay(found, edits)
        print_passed_over(found.sieve)
        question = f"Replay {how_many(plan.count)}?"
        # Names only: the values may be private.
        mended = {"set": sorted({*edits.fields, *edits.added}), "payload": bool(edits.by_letter)}
        action = noted(found, "replay", plan, rate=rate, **mended)
        work = partial(action.around, partial(replay, found, edits, rate=rate))
        return await carry_out(
            *(request, plan, work, _report), question=question, done="replayed", yes=yes, dry_run=dry_run
        )


def _report(request: DlqRequest, plan: Preview, progress: Progress) -> None:
    if request.as_json:
        for document in _documents(plan, progress):
            sys.stdout.write(json_line(document))
        return
    total = progress.total
    stages = ", ".join(f"{stage} {done.removed:,}" for stage, done in progress.stages.items() if done.removed)
    console().print(
        f"{request.pipeline}: {how_many(total.removed)} replayed{f' ({stages})' if stages else ''}; "
        "a running pipeline handles them now, else the next run does"
    )
    print_untouched(progress)
    if progress.stopping.is_set():
        remark("stopped before the end; the same command goes on")


def _documents(plan: Preview, progress: Progress) -> Iterator[dict[str, object]]:
    counts = planned(plan)
    left = {one.stage: one for one in plan.left}
    for stage in dict.fromkeys([*counts, *left, *plan.missing]):
        done = progress.stages.get(stage, Removed())
        yield {
            "stage": stage,
            "planned": counts[stage],
            "moved": done.removed,
            "held": done.held,
            "gone": done.gone,
            "missing": plan.missing.get(stage, 0),
            "left": left[stage].count if stage in left else 0,
            "why": left[stage].why if stage in left else "",
        }


def _edits_of(
    path: Path | None, fields: tuple[tuple[str, Any], ...], added: tuple[tuple[str, Any], ...]
) -> Edits:
    """Read the whole edited export first: with one invalid line, nothing is moved."""
    try:
        edits = Edits.of(list(_edits(path)) if path else [], dict(fields), dict(added))
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc
    if path and not edits.by_letter:
        # A selection without names would mean all dead letters.
        raise click.UsageError(f"{path} holds no dead letter; without --edit all are replayed as they are")
    return edits


def _edits(path: Path) -> Iterator[Edit]:
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield read_edit(line, f"{path}:{number}")
    except UnicodeDecodeError as exc:
        raise click.UsageError(f"{path}: {unreadable(exc)}; write what `dlq export` wrote, as UTF-8") from exc
    except OSError as exc:
        raise click.FileError(str(path), hint=exc.strerror) from exc
