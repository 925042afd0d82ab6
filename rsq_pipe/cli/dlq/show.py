"""`rsq-pipe dlq show`: print whole dead letters."""

from __future__ import annotations

import asyncio
import sys

import rich_click as click
from rich.text import Text

from rsq_pipe.cli.dlq.request import DlqRequest, dlq_options
from rsq_pipe.cli.output.console import console, how_many, print_none, print_passed_over
from rsq_pipe.cli.output.dead_letter_text import dead_letter_text
from rsq_pipe.cli.output.printable import json_line, remark
from rsq_pipe.errors import ReplayError
from rsq_pipe.ops.dead_letters.dead_letter import DeadLetter
from rsq_pipe.ops.dead_letters.dead_letter_json import described
from rsq_pipe.ops.dead_letters.dead_letters import DeadLetters
from rsq_pipe.ops.dead_letters.selection import parse_name
from rsq_pipe.redaction import redact

FIRST = 20
"""Number of dead letters printed for people without `--limit`."""


@click.command("show")
@dlq_options
@click.argument("name", metavar="[ID|RID]", required=False)
def command(request: DlqRequest, name: str | None) -> None:
    """
    Print whole dead letters: payload, headers, error, traceback.

    ID is an entry id or stage/id, as `dlq list` gives them; RID a record id. Without it, the options choose:
    the first 20 that match, unless --limit says otherwise; with --json all. Bytes that are not a record are
    shown with everything but text escaped.
    """
    if name:
        letter = parse_name(name)
        request = request.only(names=(letter,)) if letter else request.only(rid=name)
    with request.server() as address:
        shown, there = asyncio.run(_show(request, address))
    if not shown and name:
        raise ReplayError(f"pipeline {request.pipeline!r} has no dead letter {name!r}", dead_letter=name)
    if not shown and not request.as_json:
        print_none(request.pipeline, request.selection.stages, there)


async def _show(request: DlqRequest, address: str) -> tuple[int, int]:
    """Print the matching letters; return how many match, and how many there are."""
    bounded = request.selection.limit is None and not request.as_json
    if bounded:
        request = request.only(limit=FIRST + 1)
    shown, more = 0, False
    async with request.dead_letters(address) as found:
        async for page in found.pages():
            for letter in page.letters:
                more = bounded and shown == FIRST
                if more:
                    break
                _print(request, found, letter, first=not shown)
                shown += 1
            if more:
                break
        there = await found.total()
    print_passed_over(found.sieve)
    if more:
        remark(
            f"there are more, of {how_many(there)} in all: `--limit N` shows so many, "
            "`rsq-pipe dlq list` groups them by their errors"
        )
    return shown, there


def _print(request: DlqRequest, found: DeadLetters, letter: DeadLetter, *, first: bool) -> None:
    if request.as_json:
        sys.stdout.write(json_line(redacted(described(letter, found.payloads))))
        return
    ui = request.graph.telemetry.ui if request.graph else ""
    text = dead_letter_text(letter, found.payloads, ui)
    console().print(text if first else Text("\n").append(text), soft_wrap=True)


def redacted(document: dict[str, object]) -> dict[str, object]:
    """Mask secrets in the error; the record and its headers belong to the user and stay whole."""
    return document | {name: redact(str(document[name])) for name in ("message", "traceback")}
