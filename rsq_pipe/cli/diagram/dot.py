"""DOT: a drawing for Graphviz."""

from __future__ import annotations

from collections.abc import Mapping

from rsq_pipe.cli.diagram.model import Diagram

_SHAPES = {"source": "cds", "sink": "note", "route": "diamond", "": "cylinder"}


def draw(diagram: Diagram, notes: Mapping[str, str]) -> str:
    """Draw a pipeline in the DOT language; an arrow without a stream in between is dashed."""
    lines = [f"digraph {_quoted(diagram.pipeline)} {{", "    rankdir=TB", "    node [shape=box]"]
    for node in diagram.nodes:
        label = "\n".join(filter(None, (node.name, node.title, notes.get(node.name, ""))))
        shape = _SHAPES.get(node.verb, "box")
        lines.append(f"    {_quoted(node.name)} [label={_quoted(label)} shape={shape}]")
    for edge in diagram.edges:
        style = [f"label={_quoted(edge.port)}"] if edge.port else []
        style += ["style=dashed"] if diagram.is_fused(edge) else []
        how = f" [{' '.join(style)}]" if style else ""
        lines.append(f"    {_quoted(edge.source)} -> {_quoted(edge.target)}{how}")
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
