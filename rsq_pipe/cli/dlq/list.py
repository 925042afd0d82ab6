"""`rsq-pipe dlq list`: dead letters by stage and error."""

from __future__ import annotations

import asyncio
import sys

import rich_click as click

from rsq_pipe.cli.dlq.request import DlqRequest, dlq_options
from rsq_pipe.cli.output.console import console, failures, how_many, print_none, print_passed_over
from rsq_pipe.cli.output.printable import json_line, remark
from rsq_pipe.errors import NeverRanError
from rsq_pipe.ops.dead_letters.failure_groups import FailureGroup, FailureGroups
from rsq_pipe.redaction import redact
from rsq_pipe.units import format_moment


@click.command("list")
@dlq_options
def command(request: DlqRequest) -> None:
    """
    Group dead letters by stage and error, with one example each.

    PIPELINE is its file, or its name together with --redis. Numbers and ids in which the messages of a group
    differ are shown as #.
    """
    try:
        with request.server() as address:
            groups, there = asyncio.run(_grouped(request, address))
    except NeverRanError as exc:
        if request.graph is None:
            raise  # the name is just as likely to be wrong
        remark(str(exc))
        return
    if request.as_json:
        for group in groups:
            sys.stdout.write(json_line(_document(group)))
    elif groups.total:
        screen = console()
        screen.print(failures(groups, screen))
        screen.print(f"\n{how_many(groups.total)}; `rsq-pipe dlq show` prints one by its example's name")
    else:
        print_none(request.pipeline, request.selection.stages, there)


async def _grouped(request: DlqRequest, address: str) -> tuple[FailureGroups, int]:
    """Group the matching dead letters, and count all of them."""
    groups = FailureGroups()
    async with request.dead_letters(address) as found:
        async for page in found.pages():
            for letter in page.letters:
                groups.add(letter)
        there = await found.total()
    print_passed_over(found.sieve)
    return groups, there


def _document(group: FailureGroup) -> dict[str, object]:
    return {
        "stage": group.stage,
        "reason": group.reason,
        "error_type": group.error_type,
        "message": redact(group.message),
        "count": group.count,
        "first": format_moment(group.first),
        "last": format_moment(group.last),
        "example": group.example,
    }
