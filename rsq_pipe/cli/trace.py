"""`rsq-pipe trace`: draw the path of one record."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import rich_click as click

from rsq_pipe.cli.errors import DONE, FAILED
from rsq_pipe.cli.options.server_address import address_of_runs, connect, redis_option
from rsq_pipe.cli.output.note import console_for
from rsq_pipe.cli.output.printable import json_line, on_one_line, printable
from rsq_pipe.cli.output.waterfall import waterfall
from rsq_pipe.engine.changes.past import Holding, Past, read_past
from rsq_pipe.errors import NeverRanError
from rsq_pipe.ops.trace.kept import Kept
from rsq_pipe.ops.trace.step import RecordTrace
from rsq_pipe.ops.trace.trace_file import first_record, read_trace
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load

_USAGE = "it is `rsq-pipe trace SPEC ID`, the pipeline's file and a record's, an entry's or a trace's id"
_ID = re.compile(r"[:/]|^[0-9]+-[0-9]+$|^[0-9a-f]{32}$")
"""What each form of an id has: of a record, a dead letter, an entry, a trace."""


@click.command("trace")
@click.argument("name", type=click.Path(), metavar="[SPEC]", required=False)
@click.argument("spec", metavar="ID", required=False)
@click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A file that `run --trace-file FILE` wrote. Without it, the server is asked for what it still "
    "holds.",
)
@redis_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(  # noqa: PLR0917  one parameter per option
    ctx: click.Context, name: str | None, spec: str | None, file: Path | None, url: str | None, as_json: bool
) -> None:
    """
    Draw the path of one record through its pipeline.

    One line per stage: how long the record waited, how long the stage had it, the attempt, and the outcome.
    ID is a record id (`read:orders.jsonl:17`), an entry id, a trace id, or the name of a dead letter
    (`price/1764000000000-0`). With --file it is found in a trace file; with SPEC in the pipeline's streams,
    retries and dead letters. SPEC may also follow ID. Exit code 1 if the record is not found.
    """
    if name is None:
        raise click.UsageError(f"the ID is missing; {_USAGE}")
    if file is not None:
        if spec is not None:
            one = name if Path(name).is_file() else spec
            raise click.UsageError(f"--file says where to look; leave {one!r} out, or --file")
        trace, gone, ui, where = read_trace(file, name), "", "", _in_file(file)
    else:
        name, path = _id_and_file(name, spec)
        graph = load(path, operate=True)
        with address_of_runs(graph, url) as address:
            (trace, gone), ui = asyncio.run(_kept(graph, address, name)), graph.telemetry.ui
        where = _on_server(graph)
    if as_json:
        click.echo(json_line(trace.document()), nl=False)
    elif trace.steps:
        _draw(trace, ui)
    else:
        click.echo(printable(f"rsq-pipe: nothing of {name!r} in {where}{gone}{_no_id(name)}"), err=True)
    ctx.exit(DONE if trace.steps else FAILED)


def _no_id(name: str) -> str:
    """Explain what an id is, to somebody who has given a value of the record."""
    if _ID.search(name):
        return ""
    return (
        f". {name!r} has not the form of an id, such as read:orders.jsonl:17 (source, file, line): `peek` "
        "and `dlq show` print them, and a sink with `rid: true` writes them"
    )


def _id_and_file(first: str, second: str | None) -> tuple[str, Path]:
    """Distinguish the record's id and the pipeline's file: all other commands take the file first."""
    if second is None:
        if Path(first).suffix in {".yaml", ".yml"} and not Path(first).is_file():
            raise click.UsageError(f"there is no file {first!r}, and the ID is missing; {_USAGE}")
        what = "the file of a pipeline, and no ID" if Path(first).is_file() else "an ID, and no file"
        raise click.UsageError(f"{first!r} is {what}; {_USAGE}, or --file FILE that `run --trace-file` wrote")
    if Path(second).is_file():
        return first, Path(second)
    if Path(first).is_file():
        return second, Path(first)
    raise click.UsageError(f"neither {first!r} nor {second!r} is a file; {_USAGE}")


async def _kept(graph: Graph, address: str, name: str) -> tuple[RecordTrace, str]:
    """Find a record's path; if there is none, name the stages that are not in the file, and not searched."""
    async with connect(address) as client:
        trace = await Kept(client, graph).trace(name)
        if trace.steps:
            return trace, ""
        past = await read_past(client, graph.pipeline)
        if not past.ran:
            raise NeverRanError(graph.pipeline, client.channel.address)
        there = {stage.name for stage in graph.stages}
        holding = [stage for stage, holds in past.holdings.items() if not holds.is_empty]
        gone = ", ".join(repr(stage) for stage in holding if stage not in there)
        not_searched = gone and (
            f". Not searched: {gone}, which an earlier version of the file had, and which still holds "
            "something; see rsq-pipe plan"
        )
        return trace, not_searched + _waiting(graph, past)


def _waiting(graph: Graph, past: Past) -> str:
    """Describe where records may wait for a match: there they are found by their key, not by their id."""
    joins = (stage.name for stage in graph.stages if stage.verb == "join")
    name = next((name for name in joins if past.holdings.get(name, Holding()).keys), None)
    return (
        ""
        if name is None
        else (
            f". A record that waits in {name!r} for its match is found by its key: "
            f"rsq-pipe state {graph.spec} {name} --key KEY"
        )
    )


def _draw(trace: RecordTrace, ui: str) -> None:
    console = console_for(sys.stdout, soft_wrap=True)
    rids = list(dict.fromkeys(step.rid for step in trace.steps))
    console.print(on_one_line(", ".join(rids)), markup=False)
    for trace_id in trace.trace_ids:
        where = f"trace {trace_id}" if not ui else f"{ui.rstrip('/')}/trace/{trace_id}"
        console.print(on_one_line(where), markup=False)
    console.print()
    console.print(waterfall(trace))
    for command in trace.commands:
        console.print(on_one_line(command), markup=False)


def _in_file(file: Path) -> str:
    example = first_record(file)
    such_as = f", such as {example!r}," if example else ""
    return (
        f"the trace file {str(file)!r}; it holds the records that were sampled{such_as} and all that "
        "failed. OTEL_TRACES_SAMPLER=always_on has a run trace them all"
    )


def _on_server(graph: Graph) -> str:
    if graph.telemetry.journal:
        return (
            "what the server holds: it is not waiting, not in a dead letter, and not among the last "
            f"{graph.telemetry.journal:,} records that each stage remembers"
        )
    return (
        "what the server holds; a record that every stage is done with is gone from there. With "
        f"`telemetry: {{journal: 100k}}` in {on_one_line(str(graph.path))} each stage remembers what "
        "became of its last records, filters and sinks too"
    )
