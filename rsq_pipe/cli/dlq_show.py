"""`rsq-pipe dlq show`: one dead letter, whole."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator

import rich_click as click
from rich.text import Text

from rsq_pipe.cli.dlq_console import console, moment, tell_none, tell_passed_over
from rsq_pipe.cli.dlq_request import DlqRequest, dlq_options
from rsq_pipe.cli.printable import escaped, json_line, printable
from rsq_pipe.errors import ReplayError
from rsq_pipe.ops.dead_letter import DeadLetter
from rsq_pipe.ops.dead_letter_json import described
from rsq_pipe.ops.dead_letters import DeadLetters
from rsq_pipe.ops.payload import Payloads
from rsq_pipe.ops.selection import parse_name
from rsq_pipe.redaction import redact


@click.command("show")
@dlq_options
@click.argument("name", metavar="ID|RID", required=False)
def command(request: DlqRequest, name: str | None) -> None:
    """
    Print dead letters whole: payload, headers, error, traceback.

    ID is an entry id or stage/id, as `dlq list` gives them; RID a record id. Without it, what the options
    choose is printed. Bytes that are no record are shown with what is not text escaped.
    """
    if name:
        letter = parse_name(name)
        request = request.only(names=(letter,)) if letter else request.only(rid=name)
    with request.server() as address:
        shown, there = asyncio.run(_show(request, address))
    if not shown and name:
        raise ReplayError(f"pipeline {request.pipeline!r} has no dead letter {name!r}", dead_letter=name)
    if not shown and not request.as_json:
        tell_none(request.pipeline, request.selection.stages, there)


async def _show(request: DlqRequest, address: str) -> tuple[int, int]:
    """Print what matches; return how many these are, and how many are there."""
    shown = 0
    async with request.letters(address) as found:
        async for page in found.pages():
            for letter in page.letters:
                _print(request, found, letter, first=not shown)
                shown += 1
        there = await found.total()
    tell_passed_over(found.sieve)
    return shown, there


def _print(request: DlqRequest, found: DeadLetters, letter: DeadLetter, *, first: bool) -> None:
    if request.as_json:
        sys.stdout.write(json_line(redacted(described(letter, found.payloads))))
        return
    ui = request.graph.telemetry.ui if request.graph else ""
    text = Text("" if first else "\n")
    for part in _drawn(letter, found.payloads, ui):
        text.append(part)
    console().print(text, soft_wrap=True)


def redacted(document: dict[str, object]) -> dict[str, object]:
    """Mask secrets in what an error says; the record and its headers are the user's, and stay whole."""
    return document | {name: redact(str(document[name])) for name in ("message", "traceback")}


def _drawn(letter: DeadLetter, payloads: Payloads, ui: str) -> Iterator[Text]:
    yield Text(f"{letter.name}\n", style="bold")
    facts = {
        "record": letter.rid,
        "failed": f"{moment(letter.at)}, attempts: {letter.attempts}",
        "reason": letter.reason,
        "error": letter.error,
        "entry": letter.failed_entry,
        "trace": _trace(letter, ui),
    }
    for name, value in facts.items():
        if value:
            yield Text.assemble((f"  {name:<8}", "dim"), f"{_indented(printable(value), 10)}\n")
    yield from _section("headers", "\n".join(f"{name}: {value}" for name, value in letter.headers.items()))
    yield from _section("payload", _payload(letter, payloads))
    yield from _section("traceback", redact(letter.traceback.rstrip()))


def _section(title: str, body: str) -> Iterator[Text]:
    if body:
        yield Text(f"{title}\n", style="bold")
        yield Text(f"  {_indented(escaped(body), 2)}\n")


def _indented(text: str, by: int) -> str:
    return text.replace("\n", "\n" + " " * by)


def _payload(letter: DeadLetter, payloads: Payloads) -> str:
    record = payloads.decode(letter.raw)
    if record is not None:
        try:
            return json.dumps(record, indent=2, ensure_ascii=False, default=repr)
        except (TypeError, ValueError, RecursionError):  # keys of any type, endless digits
            pass
    return letter.raw.decode(errors="backslashreplace") or "(no bytes)"


def _trace(letter: DeadLetter, ui: str) -> str:
    if not ui or not letter.trace_id:
        return letter.trace_id
    return f"{letter.trace_id}  {ui.rstrip('/')}/trace/{letter.trace_id}"
