"""`rsq-pipe test capture`: creates a test from a real failure, or from a record that was read."""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from msgspec.structs import replace

from rsq_pipe import redaction
from rsq_pipe.cli.options.server_address import address_of_runs, connect, redis_option
from rsq_pipe.cli.options.spec_argument import spec_argument
from rsq_pipe.cli.output.case_text import lines
from rsq_pipe.cli.output.console import console
from rsq_pipe.cli.output.printable import on_one_line, remark
from rsq_pipe.errors import NeverRanError, ReplayError, SourceError, SpecError
from rsq_pipe.ids import is_family, record_id
from rsq_pipe.ops.dead_letters.dead_letter import DeadLetter
from rsq_pipe.ops.dead_letters.payload import Payloads, as_json
from rsq_pipe.ops.dead_letters.selection import Selection, parse_name
from rsq_pipe.redaction import redact
from rsq_pipe.spec.expressions.field_path import parse_path
from rsq_pipe.spec.graph import Graph, Stage, StreamRef
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.headers import INPUT, PREFIX
from rsq_pipe.telemetry.logs import set_up
from rsq_pipe.testing.cases.capturing import Captured, appended, masked
from rsq_pipe.testing.cases.reading import read_cases, tests_of
from rsq_pipe.testing.cases.results import CaseResult, results_of
from rsq_pipe.testing.cases.updating import updated
from rsq_pipe.testing.preview.first_records import first_records

if TYPE_CHECKING:
    from rsq_pipe.streams.client import StreamClient

MOST = 10_000_000
"""Maximum number of records of a source that are read to find one."""

_OF_TRACES = frozenset(("traceparent", "tracestate", "baggage"))


@click.command("capture")
@spec_argument
@redis_option
@click.option(
    "--from",
    "origin",
    required=True,
    metavar="dlq:ID|trace:RID",
    help="`dlq:` and a dead letter's name from `dlq list`: `dlq:price/1700000000000-0`; or `trace:` and a "
    "record id: of a dead letter, of a record that still waits for a stage, or of one that a file source "
    "reads again.",
)
@click.option(
    "--redact",
    "fields",
    multiple=True,
    metavar="FIELD",
    help="Write *** for this field, such as customer.email, and 0 for a number; may be given again. Fields "
    "named like a password or token, and secrets of the pipeline file, are masked in any case.",
)
@click.option("--name", default="", metavar="NAME", help="What to call the test, instead of what happened.")
def command(spec: Path, url: str | None, origin: str, fields: tuple[str, ...], name: str) -> None:
    """
    Write a test of a real failure, or of a record that was read.

    It is added to the test file beside SPEC: the record as the stage got it, and what became of it. The test
    is then run, to see whether the same happens here. Change what it expects to what should have happened,
    and fix the stage until it passes.
    """
    set_up("auto", level=logging.WARNING)  # handlers log
    graph = load(spec)
    redaction.add(graph.secrets)
    paths = [_path(text) for text in fields]
    kind, _, what = origin.partition(":")
    if kind not in ("dlq", "trace") or not what:
        raise click.UsageError(
            f"--from {origin!r} is neither dlq:ID nor trace:RID; `rsq-pipe dlq list` prints IDs"
        )
    captured = asyncio.run(_letter(graph, url, what) if kind == "dlq" else _record(graph, url, what))
    record, changed = masked(captured.record, paths)
    headers = {key: redact(value) for key, value in captured.headers.items()}
    captured = replace(captured, record=record, headers=headers, why=redact(captured.why))
    file = tests_of(spec)
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    try:
        new, name = appended(text, spec.name, name, captured)
    except ValueError as exc:
        raise SpecError(f"{file}: {exc}") from exc
    write(file, new)
    result = asyncio.run(_tried(file, name))
    if result is not None and captured.expect is None:
        write(file, updated(new, [(result.case, result.happened)]))
        result = asyncio.run(_tried(file, name))
    sink = captured.stage if captured.stage and graph.stage(captured.stage).verb == "sink" else ""
    _print_case(spec, file, name, changed, result, is_failure=captured.expect is not None, sink=sink)


def _path(text: str) -> tuple[str, ...]:
    try:
        return parse_path(text)
    except ValueError as exc:
        raise click.UsageError(f"--redact: {exc}") from exc


def write(file: Path, text: str) -> None:
    """Write a file whole; click.FileError if that is impossible."""
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise click.FileError(str(file), hint=exc.strerror) from exc


async def _tried(file: Path, name: str) -> CaseResult | None:
    cases = [case for case in read_cases(file).cases if case.name == name]
    return next(iter([result async for result in results_of(cases)]), None)


def _print_case(
    spec: Path,
    file: Path,
    name: str,
    changed: Sequence[str],
    result: CaseResult | None,
    *,
    is_failure: bool,
    sink: str,
) -> None:
    """Print where the test was added, what was masked in it, and what its first run showed."""
    screen = console()
    place = f"{file}:{result.case.place.line}" if result else str(file)
    screen.print(on_one_line(f"{place}: added {name!r}"), soft_wrap=True)
    if changed:
        remark(f"masked: {', '.join(dict.fromkeys(changed))}")
    if result is None:
        return
    for line in lines(result):
        screen.print(line, soft_wrap=True)
    screen.print(
        _conclusion(spec, is_passed=result.is_passed, is_failure=is_failure, sink=sink), soft_wrap=True
    )


def _conclusion(spec: Path, *, is_passed: bool, is_failure: bool, sink: str) -> str:
    """
    Say what the first run of a new test shows, and what to do next.

    Args:
        spec: The pipeline's file.
        is_passed: Whether the same happened here.
        is_failure: Whether what was captured is a failure.
        sink: The sink that it happened in; empty for another stage.
    """
    if is_passed and not is_failure:
        return "It expects what happens now; look whether that is what should."
    if is_passed:
        command = f"rsq-pipe test {shlex.quote(str(spec))}"
        return (
            "It happens here as it did there. Write what should happen under `expect`, and fix the code "
            f"until\nthis passes: {on_one_line(command)}"
        )
    if sink:
        return (
            "It does not happen here: a test sends nothing to where a sink writes. Say what it refuses:\n"
            f"mocks: {{sinks: {{{sink}: {{refuse: EXPRESSION, error: TEXT}}}}}}"
        )
    command = f"rsq-pipe test --update {shlex.quote(str(spec))}"
    return (
        f"It does not happen here as it did there. If it is mended by now, `{on_one_line(command)}` writes "
        "what happens now.\nElse what the stage remembers, asks or reads elsewhere is not part of the test; "
        "give it under `mocks` or `now`."
    )


async def _letter(graph: Graph, url: str | None, what: str) -> Captured:
    name = parse_name(what)
    selection = Selection(names=(name,)) if name else Selection(rid=what)
    with address_of_runs(graph, url) as address:
        async with connect(address) as client:
            found = await _first_letter(client, graph, selection)
    if found is None:
        raise ReplayError(f"pipeline {graph.pipeline!r} has no dead letter {what!r}", dead_letter=what)
    return _of_letter(graph, found)


async def _record(graph: Graph, url: str | None, rid: str) -> Captured:
    """Find a record by its id: among the dead letters, waiting for a stage, or in its source."""
    with suppress(NeverRanError), address_of_runs(graph, url) as address:
        async with connect(address) as client:
            letter = await _first_letter(client, graph, Selection(rid=rid))
            if letter is not None:
                return _of_letter(graph, letter)
            if waiting := await _waiting(client, graph, rid):
                return waiting
    return _read_again(graph, rid)


async def _first_letter(client: StreamClient, graph: Graph, selection: Selection) -> DeadLetter | None:
    from rsq_pipe.ops.dead_letters.dead_letters import find  # noqa: PLC0415  `rsq-pipe test` needs no client

    letters = await find(client, graph.pipeline, graph, selection)
    async for page in letters.pages():
        return page.letters[0]
    return None


def _of_letter(graph: Graph, letter: DeadLetter) -> Captured:
    stage = next((one for one in graph.stages if one.name == letter.stage), None)
    if stage is None:
        raise SpecError(f"{graph.path} has no stage {letter.stage!r} any more, which failed {letter.name}")
    record = as_json(Payloads(graph.serializer).decode(letter.raw))
    if stage.verb == "source" or record is None:
        raise ReplayError(
            f"dead letter {letter.name} is not a record but bytes that could not be read; "
            f"`rsq-pipe dlq show {graph.spec} {letter.name}` shows them",
            dead_letter=letter.name,
        )
    expect = {"dlq": [{"reason": letter.reason, "error": redact(letter.error)}]}
    side = letter.entry.headers.get(INPUT, "") if stage.verb == "join" else ""
    stream = stage.inputs[side == "right"].name if side else ""
    why = letter.message or letter.error
    return Captured(record, stage.name, stream, _own(letter.headers), letter.rid, expect, why)


def _own(headers: Any) -> dict[str, str]:
    return {
        key: value for key, value in headers.items() if not key.startswith(PREFIX) and key not in _OF_TRACES
    }


async def _waiting(client: StreamClient, graph: Graph, rid: str) -> Captured | None:
    """Find a record that a stage has not settled yet."""
    from rsq_pipe.ops.peek import peek  # noqa: PLC0415

    payloads = Payloads(graph.serializer)
    for stage in graph.stages:
        if stage.verb == "source":
            continue
        async for found in peek(client, graph, stage):
            record = as_json(payloads.decode(found.raw)) if found.rid == rid else None
            if record is not None:
                return Captured(record, stage.name, "", _own(found.headers), rid, None, f"record {rid}")
    return None


def _read_again(graph: Graph, rid: str) -> Captured:
    """Read a source from its beginning up to the record."""
    for stage in graph.stages:
        if stage.verb != "source" or not rid.startswith(f"{stage.name}:") or not _is_readable(stage):
            continue
        try:
            for arrival in first_records(graph, stage, MOST):
                own = record_id(stage.name, arrival.offset)
                if arrival.data is not None and is_family(own, rid) and len(own) <= len(rid):
                    ref: StreamRef = next(iter(stage.outputs.values()))
                    record = as_json(arrival.data) or {}
                    headers = _own(dict(arrival.headers))
                    return Captured(record, "", ref.name, headers, own, None, f"record {own}")
        except SourceError as exc:
            raise SourceError(f"record {rid!r} is not found: {exc}") from exc
    raise ReplayError(
        f"record {rid!r} is not a dead letter, is not waiting for any stage, and no file source reads it "
        "again; settled records are not kept",
        dead_letter=rid,
    )


def _is_readable(stage: Stage) -> bool:
    """Return whether a source reads files, and so returns the same records again."""
    paths = getattr(stage.options.options, "path", None)
    return paths is not None and "-" not in paths
