"""`rsq-pipe graph`: draw a pipeline."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from rsq_pipe.cli.diagram import dot, mermaid, text
from rsq_pipe.cli.diagram.model import diagram
from rsq_pipe.cli.options.server_url import VARIABLE, refuse_empty
from rsq_pipe.cli.options.spec_argument import spec_argument
from rsq_pipe.cli.output.printable import printable
from rsq_pipe.redaction import redact
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load

if TYPE_CHECKING:
    from rsq_pipe.ops.stage_status import StageStatus
    from rsq_pipe.ops.status import PipelineStatus

DRAWINGS = {"text": text.draw, "mermaid": mermaid.draw, "dot": dot.draw}


@click.command("graph")
@spec_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(list(DRAWINGS)),
    default="text",
    show_default=True,
    help="For the terminal, for Markdown, or for Graphviz.",
)
@click.option("--live", is_flag=True, help="Add what waits at each stage; asks the server.")
@click.option(
    "--redis",
    "url",
    metavar="URL",
    envvar=VARIABLE,
    help="The server that `--live` asks, instead of the spec's. Also RSQ_PIPE_REDIS.",
)
@click.option("--json", "as_json", is_flag=True, help="Print nodes and edges as JSON.")
def command(spec: Path, form: str, live: bool, url: str | None, as_json: bool) -> None:
    """
    Draw a pipeline.

    One line per stage: what it does, and the port it reads unless that is the plain output. `●` is a stage,
    `○` a fused one, which runs in the worker of the stage above it, without a stream in between (drawn
    dashed in the other formats), `◇` a stream from outside. Needs a server for `--live` only.
    """
    graph = load(spec, operate=True)
    status = _status(graph, url) if live else None
    stages = status.stages if status else ()
    drawn = diagram(graph)
    if as_json:
        document = drawn.document({stage.name: _live(stage) for stage in stages})
        sys.stdout.write(redact(json.dumps(document, indent=2)) + "\n")
        return
    notes = {stage.name: _note(stage) for stage in stages}
    if form == "text":
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        sys.stdout.write(printable(text.draw(drawn, notes, width)))
    else:
        sys.stdout.write(printable(DRAWINGS[form](drawn, notes)))


def _status(graph: Graph, url: str | None) -> PipelineStatus:
    refuse_empty(url)
    # Imported for --live only: a plain drawing needs no redis package, and is quick.
    from rsq_pipe.cli.status import status_of  # noqa: PLC0415

    return status_of(graph, url)


def _live(stage: StageStatus) -> Mapping[str, Any]:
    numbers = {name: getattr(stage, name) for name in ("state", "lag", "pending", "retry", "dead")}
    return {**numbers, "paused": stage.paused.why if stage.paused else None}


def _note(stage: StageStatus) -> str:
    numbers = {"waiting": stage.lag, "pending": stage.pending, "retrying": stage.retry, "dead": stage.dead}
    if stage.state == "lost":
        return "lost its place"
    paused = ["paused"] if stage.paused else []
    notes = paused + [
        f"{'unknown' if number is None else f'{number:,}'} {name}"
        for name, number in numbers.items()
        if number != 0
    ]
    return ", ".join(notes) or ("" if stage.verb == "source" else "idle")
