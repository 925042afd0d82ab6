"""Mermaid: a drawing that Markdown viewers show."""

from __future__ import annotations

from collections.abc import Mapping

from rsq_pipe.cli.diagram.model import Diagram, Node

_SHAPES = {"source": ("[/", "/]"), "sink": ("[\\", "\\]"), "route": ("{", "}"), "": ("[(", ")]")}


def draw(diagram: Diagram, notes: Mapping[str, str]) -> str:
    """Draw a pipeline as a Mermaid flowchart; an arrow without a stream in between is dotted."""
    ids = {node.name: f"n{number}" for number, node in enumerate(diagram.nodes)}
    lines = ["flowchart TD"]
    for node in diagram.nodes:
        opening, closing = _SHAPES.get(node.verb, ("[", "]"))
        lines.append(f'    {ids[node.name]}{opening}"{_label(node, notes)}"{closing}')
    for edge in diagram.edges:
        port = f'|"{_escaped(edge.port)}"|' if edge.port else ""
        arrow = "-.->" if diagram.is_fused(edge) else "-->"
        lines.append(f"    {ids[edge.source]} {arrow}{port} {ids[edge.target]}")
    return "\n".join(lines) + "\n"


def _label(node: Node, notes: Mapping[str, str]) -> str:
    parts = [f"<b>{_escaped(node.name)}</b>", _escaped(node.title), _escaped(notes.get(node.name, ""))]
    return "<br/>".join(filter(None, parts))


def _escaped(text: str) -> str:
    """Escape what Mermaid would read as syntax: quotes, tags, entities."""
    for mark, code in (("#", "#35;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;")):
        text = text.replace(mark, code)
    return text
