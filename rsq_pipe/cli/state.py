"""`rsq-pipe state`: show what a stage remembers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import rich_click as click
from msgspec import to_builtins
from rich.table import Table
from rich.text import Text

from rsq_pipe import redaction
from rsq_pipe.cli.options.server_address import address_of_runs, connect, redis_option
from rsq_pipe.cli.options.spec_argument import spec_argument
from rsq_pipe.cli.options.stage_name import StageName, known
from rsq_pipe.cli.output.console import console
from rsq_pipe.cli.output.printable import json_line, on_one_line, remark
from rsq_pipe.engine.changes.past import read_past
from rsq_pipe.errors import NeverRanError
from rsq_pipe.ops.remembered import Found, Remembered, read_remembered
from rsq_pipe.spec.fusing import has_state
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load
from rsq_pipe.units import age, counted

MOST = 40
"""Maximum number of buckets shown to people."""


@click.command("state")
@spec_argument
@click.argument("stage", type=StageName(has_state), metavar="STAGE")
@redis_option
@click.option(
    "--key",
    metavar="KEY",
    help="What is remembered of this key: JSON, or plain text. A list of values where the key has several.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(spec: Path, stage: str, url: str | None, key: str | None, as_json: bool) -> None:
    """
    Show what a stage remembers.

    How many keys, and in which parts, each with the time when it is due: forgotten, closed or given up.
    Looking changes nothing.
    """
    graph = load(spec, operate=True)
    redaction.add(graph.secrets)
    known(graph, [stage])
    if not has_state(graph.stage(stage)):
        others = ", ".join(one.name for one in graph.stages if has_state(one))
        hint = f"name one of {others}" if others else "no stage of this pipeline does"
        raise click.UsageError(
            f"stage {stage!r} is a {graph.stage(stage).verb} and remembers nothing; {hint}"
        )
    try:
        with address_of_runs(graph, url) as address:
            found = asyncio.run(_look(address, graph, stage, key))
    except NeverRanError as exc:
        remark(str(exc))
        return
    if as_json:
        click.echo(json_line({"pipeline": graph.pipeline, **to_builtins(found)}), nl=False)
        return
    for line in drawn(graph, found, asked=key is not None):
        console().print(line, soft_wrap=isinstance(line, Text))


async def _look(address: str, graph: Graph, stage: str, key: str | None) -> Remembered:
    async with connect(address) as client:
        if not (await read_past(client, graph.pipeline)).ran:
            raise NeverRanError(graph.pipeline, client.channel.address)
        return await read_remembered(client, graph, graph.stage(stage), key)


def drawn(graph: Graph, found: Remembered, *, asked: bool) -> Iterator[Text | Table]:
    """Format a state for people."""
    if asked:
        if not found.found:
            yield Text(on_one_line(f"{found.stage}: {json.dumps(found.key)} is not remembered"))
        for one in found.found:
            yield Text(on_one_line(f"{found.stage}: {json.dumps(found.key)} {_where(found, one)}"))
            if one.value is not None:
                yield Text(on_one_line(json.dumps(one.value, ensure_ascii=False, default=repr)))
        return
    forgotten = f", {found.evicted:,} forgotten to make room" if found.evicted else ""
    what = f"stage {found.stage!r} remembers {counted(found.keys, 'key')} of at most {found.max_keys:,}"
    yield Text(on_one_line(f"{graph.pipeline}: {what}{forgotten}"))
    if found.buckets:
        yield _table(found)


def _table(found: Remembered) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("part", "keys", "due"):
        table.add_column(name, justify="right" if name == "keys" else "left")
    for bucket in found.buckets[:MOST]:
        table.add_row(Text(bucket.name), f"{bucket.keys:,}", _due(found, bucket.due))
    if len(found.buckets) > MOST:
        table.add_row("...", f"{sum(one.keys for one in found.buckets[MOST:]):,}", "--json lists all")
    return table


def _where(found: Remembered, one: Found) -> str:
    due = "kept for ever" if one.due is None else f"due {_due(found, one.due)}"
    return f"is in part {one.bucket}, {due}"


def _due(found: Remembered, due: float | None) -> str:
    if due is None:
        return "never"
    if found.verb == "aggregate":  # by the records' own time, not by a clock
        return f"at {datetime.fromtimestamp(due, UTC):%Y-%m-%dT%H:%M:%SZ}"
    left = due - time.time()
    return f"in {age(left)}" if left > 0 else f"{age(-left)} ago"
