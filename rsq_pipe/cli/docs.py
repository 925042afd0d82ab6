"""`rsq-pipe docs`: describe a pipeline as a Markdown page."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import rich_click as click

from rsq_pipe import redaction
from rsq_pipe.cli.diagram import mermaid
from rsq_pipe.cli.diagram.model import Diagram, diagram
from rsq_pipe.cli.options.spec_argument import spec_argument
from rsq_pipe.cli.output.printable import on_one_line, printable
from rsq_pipe.spec.expressions.expression import Expression
from rsq_pipe.spec.field_check import fields_behind
from rsq_pipe.spec.graph import Graph, RouteCase, Stage
from rsq_pipe.spec.known_fields import Known
from rsq_pipe.spec.loader import load

_MARKS = re.compile(r"([\\`*_<>\[\]#|])")


@click.command("docs")
@spec_argument
def command(spec: Path) -> None:
    """
    Print a page about a pipeline, in Markdown.

    Its description, a drawing, and each stage: what it does, what it reads, and the fields its records have
    afterwards, where these are known (from csv headers, `validate`, `select` and the stages between them).
    Needs no server.
    """
    graph = load(spec, operate=True)
    redaction.add(graph.secrets)
    sys.stdout.write("\n".join(page(graph)) + "\n")


def page(graph: Graph) -> Iterator[str]:
    """Yield the lines of the page."""
    drawn = diagram(graph)
    yield f"# {_plain(graph.pipeline)}"
    if graph.description:
        yield from ("", _plain(graph.description))
    yield from ("", "```mermaid", printable(mermaid.draw(drawn, {})).rstrip("\n"), "```", "")
    known = fields_behind(graph)
    for stage in graph.stages:
        yield from _stage(graph, stage, drawn, known)


def _stage(graph: Graph, stage: Stage, drawn: Diagram, known: Mapping[str, Known | None]) -> Iterator[str]:
    node = next(node for node in drawn.nodes if node.name == stage.name)
    yield from (f"## {stage.name}", "")
    if stage.description:
        yield from (_plain(stage.description), "")
    yield f"{_code(node.title)}{_reads(drawn, stage)}"
    if lines := list(_details(stage)):
        yield from ("", *lines)
    if (fields := known[stage.name]) is not None and not fields.open:
        sure = [_code(name) + ("" if name in fields.always else "?") for name in fields.fields]
        yield from ("", f"Fields{'' if stage.verb == 'sink' else ' behind it'}: {', '.join(sure) or 'none'}.")
    if settings := list(_settings(graph, stage)):
        yield from ("", " ".join(settings))
    yield ""


def _reads(drawn: Diagram, stage: Stage) -> str:
    edges = drawn.into(stage.name)
    names = [_code(f"{edge.source}.{edge.port}" if edge.port else edge.source) for edge in edges]
    return f", of {', '.join(names)}" if names else ""


def _details(stage: Stage) -> Iterator[str]:
    """Format the expressions of a stage."""
    match stage.options:
        case dict() as fields:
            for name, value in fields.items():
                yield f"- {_code(name)}: {_expression(value) if value is not None else 'removed'}"
        case tuple() as cases:
            for case in cases:
                if isinstance(case, RouteCase):
                    yield f"- {_code(case.to)}: {_expression(case.when) if case.when else 'all others'}"
        case Expression() as when:
            yield f"- {_expression(when)}"


def _settings(graph: Graph, stage: Stage) -> Iterator[str]:
    if stage.verb in {"source", "sink"}:
        return
    ends = {"dlq": "a dead letter", "drop": "dropped", "stop": "what stops the run"}[stage.on_error]
    attempts = f"after {stage.retry.attempts} attempts" if stage.retry.attempts > 1 else "at once"
    if stage.verb == "call":
        yield f"A record that fails is {ends} {attempts}."
    elif stage.on_error != "dlq":
        yield f"A record that fails is {ends}."
    if readers := [reader.name for reader in graph.readers(stage.dlq)]:
        yield f"Its dead letters are read by {', '.join(map(_code, readers))}."
    if stage.rate is not None:
        yield f"At most {stage.rate.text}."


def _expression(value: Expression) -> str:
    return _code(value.text)


def _code(text: str) -> str:
    """Format text as code, whatever backticks it holds."""
    text = on_one_line(text)
    if "`" not in text:
        return f"`{text}`"
    fence = "`" * (max(map(len, re.findall("`+", text))) + 1)
    return f"{fence} {text} {fence}"


def _plain(text: str) -> str:
    """Escape text so that Markdown shows it as it is."""
    return _MARKS.sub(r"\\\1", on_one_line(text))
