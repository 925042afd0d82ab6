"""`rsq-pipe peek`: show the records that wait for a stage."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import rich_click as click
from msgspec import Struct
from rich.text import Text

from rsq_pipe import redaction
from rsq_pipe.cli.options.dead_letter_types import WhereType
from rsq_pipe.cli.options.server_address import address_of_runs, connect, redis_option
from rsq_pipe.cli.options.spec_argument import spec_argument
from rsq_pipe.cli.options.stage_name import StageName, known
from rsq_pipe.cli.output.console import console
from rsq_pipe.cli.output.dead_letter_text import payload_text
from rsq_pipe.cli.output.printable import escaped, json_line, printable, remark
from rsq_pipe.engine.changes.past import Holding, read_past
from rsq_pipe.errors import NeverRanError
from rsq_pipe.ops.as_run import stage_gone
from rsq_pipe.ops.dead_letters.payload import Payloads
from rsq_pipe.ops.peek import Filter, Peeked, document, peek
from rsq_pipe.spec.expressions.expression import Expression
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.suggestion import suggest
from rsq_pipe.units import counted


class _Shown(Struct, frozen=True):
    """Store how many records were printed, whether these were all, and what the stage holds."""

    count: int
    is_all: bool
    holds: Holding


@click.command("peek")
@spec_argument
@click.argument("stage", type=StageName(lambda stage: stage.verb != "source"), metavar="STAGE")
@redis_option
@click.option(
    "--limit",
    "--count",
    "count",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    metavar="N",
    help="At most so many, oldest first.",
)
@click.option(
    "--where",
    type=WhereType(),
    metavar="EXPR",
    help="For which this expression is true. It sees the payload's fields by name, and `entry['state']`, "
    "`headers['tenant']`, `payload`. A field that is missing means no.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")
def command(  # noqa: PLR0917  one parameter per option
    spec: Path, stage: str, url: str | None, count: int, where: Expression | None, as_json: bool
) -> None:
    """
    Show the records that wait for a stage.

    STAGE may be one that is no longer in the file. Between stages one stream entry may hold several records;
    here each is shown by itself: first pending ones, which are delivered but not settled, then waiting ones,
    those due for another attempt or replayed, and last those whose next attempt is not due yet. Looking
    changes nothing.
    """
    graph = load(spec, operate=True)
    redaction.add(graph.secrets)
    if stage in [one.name for one in graph.stages]:
        _refuse_source(graph.stage(stage))
    payloads = Payloads(graph.serializer)
    sieve = Filter(where, payloads)
    try:
        with address_of_runs(graph, url) as address:
            shown = asyncio.run(_show(address, graph, stage, sieve, count=count, as_json=as_json))
    except NeverRanError as exc:
        known(graph, [stage])
        remark(str(exc))
        return
    if sieve.passed_over:
        many = counted(sieve.passed_over, "record")
        remark(f"{many} passed over, since --where has no value: {sieve.why}")
    if not as_json:
        _remark_on_count(graph, stage, shown, filtered=where is not None)


async def _show(
    address: str, graph: Graph, stage: str, sieve: Filter, *, count: int, as_json: bool
) -> _Shown:
    shown, is_all = 0, True
    async with connect(address) as client:
        reader = await _reader(client, graph, stage)
        async for found in peek(client, graph, reader):
            if not sieve.passes(found):
                continue
            if shown == count:
                is_all = False
                break
            if as_json:
                sys.stdout.write(json_line(document(found, sieve.payloads)))
            else:
                console().print(drawn(found, sieve.payloads), soft_wrap=True)
            shown += 1
        past = await read_past(client, graph.pipeline)
        if not past.ran and not shown:
            raise NeverRanError(graph.pipeline, client.channel.address)
    return _Shown(shown, is_all, past.holdings.get(stage, Holding()))


async def _reader(client: StreamClient, graph: Graph, name: str) -> Stage:
    """Find a stage in the file, or as runs left it."""
    here = [stage.name for stage in graph.stages]
    if name in here:
        return graph.stage(name)
    past = await read_past(client, graph.pipeline)
    stage = stage_gone(graph.pipeline, past, name)
    if stage is None:
        names = dict.fromkeys([*here, *past.holdings])
        raise click.UsageError(f"pipeline {graph.pipeline!r} has no stage {name!r}; {suggest(name, names)}")
    _refuse_source(stage)
    remark(f"{graph.pipeline}: the file has no stage {name!r}; this is what runs of it left")
    return stage


def _refuse_source(stage: Stage) -> None:
    if stage.verb == "source":
        what = f"stage {stage.name!r} is a source: no records wait for it; name a stage below it"
        raise click.UsageError(what)


def _remark_on_count(graph: Graph, stage: str, shown: _Shown, *, filtered: bool) -> None:
    where = f"{graph.pipeline}: stage {stage!r}"
    if not shown.count:
        what = "no record matches" if filtered and shown.holds.waits else "no records wait for it"
        console().print(printable(f"{where}: {what}"))
    elif not shown.is_all:
        remark(f"{where} holds {shown.holds}; --limit shows more")


def drawn(found: Peeked, payloads: Payloads) -> Text:
    """Format a record: its location, headers and content."""
    # The record and its headers belong to the user and stay whole; unprintable characters are escaped.
    text = Text.assemble((escaped(found.rid), "bold"), f"  {printable(_state(found))}\n")
    text.append(f"  {printable(f'{found.stream} {found.id}'.rstrip())}\n", style="dim")
    for name, value in found.headers.items():
        text.append(f"  {_one_line(f'{name}: {value}')}\n")
    text.append(f"  {_one_line(payload_text(found.raw, payloads))}")
    return text


def _state(found: Peeked) -> str:
    if found.state == "pending":
        return f"pending, delivery {found.deliveries}, {found.consumer}, idle {found.idle_ms:,} ms"
    if found.due_in is not None:
        return f"retry, due in {found.due_in:,.1f}s" if found.due_in > 0 else "retry, due"
    return found.state


def _one_line(text: str) -> str:
    return escaped(text).replace("\n", "\\n")
