"""`rsq-pipe plan`: what a run of a changed file would do to what the last run left."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

import rich_click as click
from msgspec import to_builtins
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rsq_pipe.cli.errors import DONE, FAILED
from rsq_pipe.cli.options.server_address import as_given, connect, is_unborn, redis_option, server_address
from rsq_pipe.cli.options.spec_argument import spec_argument
from rsq_pipe.cli.output.note import console_for
from rsq_pipe.cli.output.printable import escaped, on_one_line, printable
from rsq_pipe.engine.changes.change import Plan, StageChange
from rsq_pipe.engine.changes.changeover import plan
from rsq_pipe.engine.changes.choices import refusal
from rsq_pipe.engine.changes.moves import Requeue
from rsq_pipe.engine.changes.past import Holding, read_past
from rsq_pipe.engine.failures.located import locating
from rsq_pipe.engine.ownership.presence import Presence
from rsq_pipe.errors import NeverRanError, RsqPipeError
from rsq_pipe.ops.prune import Pruned, prune
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load


@click.command("plan")
@spec_argument
@redis_option
@click.option("--show-last", is_flag=True, help="Print the file as it was last run, and nothing else.")
@click.option(
    "--prune",
    "pruning",
    is_flag=True,
    help="Remove groups that no stage reads through, and the rest of removed stages that hold nothing.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(  # noqa: PLR0917  one parameter per option
    ctx: click.Context, spec: Path, url: str | None, show_last: bool, pruning: bool, as_json: bool
) -> None:
    """
    Show what a run would do after the file has changed.

    Compares the file with the graph of the last run, which is kept on the server: stages added, removed,
    renamed (guessed by similarity), moved and changed, and what each still holds; and settings of the whole
    pipeline, as they are written. Secrets of stages need not be set. Changes nothing, except with --prune.
    Exit code 0 if `run` would go on, 1 if it would refuse because something would be lost or duplicated, 3
    if the server cannot be reached.
    """
    if show_last and pruning:
        raise click.UsageError("--show-last prints the file, and removes nothing; leave it or --prune out")
    graph = load(spec, stage_secrets=False)
    if show_last:
        last = _last(graph, url)
        sys.stdout.write(escaped(last) if sys.stdout.isatty() else last)
        return
    if pruning:
        _prune(graph, url)
        return
    found, server, others = _plan(graph, url)
    options = as_given(ctx)
    if as_json:
        sys.stdout.write(json.dumps(_document(graph, found, server, others, options), indent=2) + "\n")
    else:
        console_for(sys.stdout).print(_drawn(graph, found, server, others, options), soft_wrap=True)
    ctx.exit(FAILED if found.stranded else DONE)


def _plan(graph: Graph, url: str | None) -> tuple[Plan, str, list[str]]:
    """Return what a run would do, on which server, and who runs another version of the file there."""
    if is_unborn(graph, url):
        return Plan(graph.pipeline, ran=False, kept=False, stages=()), "", []

    async def fetch(address: str) -> tuple[Plan, str, list[str]]:
        async with connect(address) as client, locating(client, graph):
            others = await Presence(client, graph.pipeline, graph.spec_hash).others_of_another_file()
            return await plan(client, graph), client.channel.address, others

    with server_address(graph, url) as address:
        return asyncio.run(fetch(address))


def _last(graph: Graph, url: str | None) -> str:
    async def fetch(address: str) -> str:
        async with connect(address) as client, locating(client, graph):
            return (await read_past(client, graph.pipeline)).last.text

    text = ""
    if not is_unborn(graph, url):
        with server_address(graph, url) as address:
            text = asyncio.run(fetch(address))
    if not text:
        raise RsqPipeError(
            f"the file that pipeline {graph.pipeline!r} was last run from is not kept on that server: it "
            "never ran there, or an earlier release of rsq-pipe ran it; look into your version control"
        )
    return text


def _prune(graph: Graph, url: str | None) -> None:
    async def act(address: str) -> Pruned:
        async with connect(address) as client, locating(client, graph):
            return await prune(client, graph)

    done = Pruned()
    if not is_unborn(graph, url):
        with server_address(graph, url) as address:
            done = asyncio.run(act(address))
    lines = [f"removed group {group} of {stream}" for group, stream in done.groups]
    lines += [f"removed what stage {stage} left" for stage in done.stages]
    lines += [f"left group {group} of {stream}: somebody reads through it" for group, stream in done.active]
    for line in lines or ["there is nothing to remove"]:
        click.echo(on_one_line(f"{graph.pipeline}: {line}"))


def _document(graph: Graph, found: Plan, server: str, others: list[str], options: str) -> dict[str, object]:
    """Return the keys of `--json`, which stay the same from one release to the next."""
    return {
        "pipeline": found.pipeline,
        "server": server or "its embedded server",
        "ran": found.ran,
        "complete": found.kept,
        "differs": found.differs,
        "goes_on": not found.stranded,
        "stages": [to_builtins(change) for change in found.stages],
        "settings": [to_builtins(change) for change in found.settings],
        "moves": [{"does": type(move).__name__.lower(), **to_builtins(move)} for move in found.moves],
        "orphaned_groups": [{"group": group, "stream": stream} for group, stream in found.strangers],
        "runs_of_another_version": others,
        "message": printable(refusal(graph, found, options, runs=others)) if found.stranded else "",
    }


def _drawn(graph: Graph, found: Plan, server: str, others: list[str], options: str) -> RenderableType:
    if not found.ran:
        return _text(str(NeverRanError(found.pipeline, server)))
    parts: list[RenderableType] = [_text(f"{found.pipeline} on {server}: {found}"), drawn_stages(found)]
    if not found.kept:
        parts.append(
            Text("The last run was by an earlier release: what it did is inferred from what it left.")
        )
    parts += [_text(f"{change}.") for change in found.settings]
    for move in found.moves:
        if isinstance(move, Requeue):
            parts.append(_text(f"What {move.stage} has not done of {move.stream} goes to it first."))
        elif move.heirs:
            parts.append(_text(f"{' and '.join(move.heirs)} begins in {move.stream} where {move.stage} was."))
    for group, stream in found.strangers:
        parts.append(_text(f"Group {group} of {stream} is no stage's, and keeps entries from being trimmed."))
    if found.strangers:
        spec = f"{graph.spec}{options}"
        parts.append(_text(f"To remove them: rsq-pipe plan {spec} --prune"))
    if found.stranded:
        parts.append(Text(printable(refusal(graph, found, options, runs=others)), style="bold"))
    else:
        parts.append(_text(f"`rsq-pipe run` goes on with this file{_once(found, others)}."))
    return Group(*parts)


def _once(found: Plan, others: list[str]) -> str:
    """Describe what must be stopped first."""
    if not others:
        return ""
    named = ", ".join(others)
    if found.moves:
        return f" once the processes of another version have ended, and refuses it before: {named}"
    return f"; until the processes of another version are stopped, records go through either: {named}"


def drawn_stages(found: Plan) -> Table:
    """Format the stages: the changes, what each holds, and how far files are read and written."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("stage", "change"):
        table.add_column(name, no_wrap=True)
    for name in ("waiting", "pending", "retry", "dead"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("position", overflow="fold")  # the column that wraps when space is short
    for change in found.listed:
        numbers = _numbers(change.holds)
        table.add_row(_text(change.stage), _what(change), *numbers, _text(_position(change.holds)))
    return table


def _what(change: StageChange) -> Text:
    style = "bold red" if change.stranded else "dim" if change.kind == "same" else ""
    return _text(f"{change.kind}: {change.what}" if change.what else change.kind, style)


def _text(text: str, style: str = "") -> Text:
    """Format text that may come from the server: names of groups, streams and files."""
    return Text(on_one_line(text), style=style)


def _numbers(holds: Holding) -> list[Text]:
    lag = Text("unknown") if holds.lag is None else _number(holds.lag)
    return [lag, _number(holds.pending), _number(holds.retry), _number(holds.dead)]


def _number(value: int) -> Text:
    return Text(f"{value:,}", style="" if value else "dim")


def _position(holds: Holding) -> str:
    """Format how far a source has read or a sink written, or a stage's state; `--json` has all of it."""
    if not holds.positions:
        return f"remembers {holds.remembered}" if holds.keys else ""
    target, position = next(iter(holds.positions.items()))
    place = f" at byte {int(found[1]):,}" if (found := _IN_A_FILE.fullmatch(position)) else ""
    return f"{target}{place}{f' and {holds.placed - 1} more' if holds.placed > 1 else ''}"


_IN_A_FILE = re.compile(r"(?:\d+\|)?(\d+):.*")
"""The beginning of the stored position in a file: a sink's epoch, then bytes."""
