"""Text: a drawing for the terminal, one line per stage, with a lane for each stream."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from rsq_pipe.cli.diagram.model import Diagram, Edge, Node
from rsq_pipe.cli.output.printable import on_one_line

_STAGES = "●○◇"

LEAST = 20
"""Minimum columns for a stage's description, even on a narrow screen."""


def draw(diagram: Diagram, notes: Mapping[str, str], width: int | None = None) -> str:
    """
    Draw a pipeline.

    Args:
        diagram: The diagram.
        notes: Further text for nodes.
        width: Columns of the screen; longer descriptions are wrapped. None for no limit.

    Returns:
        Lines without colour; `●` is a stage, `○` one that runs in the worker of the stage above, `◇` a stream
        from outside.
    """
    lanes = _Lanes()
    rows: list[tuple[str, Node | None]] = []
    for node in diagram.nodes:
        rows += [(line, None) for line in lanes.join(node.name)]
        rows.append((lanes.place(node), node))
        rows += [(line, None) for line in lanes.fork(diagram.out_of(node.name))]
    left = max((len(line) for line, node in rows if node), default=0)
    names = max((len(on_one_line(node.name)) for node in diagram.nodes), default=0)
    titles = max((len(_title(diagram, node)) for node in diagram.nodes), default=0)
    lines = [diagram.pipeline]
    for line, drawn in rows:
        if drawn is None:
            lines.append(line)
            continue
        title = f"{_title(diagram, drawn):{titles}}  {notes.get(drawn.name, '')}"
        begin = f"{line:{left}}  {on_one_line(drawn.name):{names}}  "
        whole = f"{begin}{title}".rstrip()
        if width is None or len(whole) <= width:
            lines.append(whole)
            continue
        first, *others = _wrapped(title, max(LEAST, width - len(begin))) or [""]
        lines.append(f"{begin}{first}".rstrip())
        below = _below(line, ends=not diagram.out_of(drawn.name))
        lines += [f"{below:{len(begin)}}{other}" for other in others]
    return "\n".join(lines) + "\n"


def _title(diagram: Diagram, node: Node) -> str:
    ports = [f"{edge.source}.{edge.port}" for edge in diagram.into(node.name) if edge.port]
    return f"{node.title} (from {', '.join(ports)})" if ports else node.title


def _wrapped(title: str, width: int) -> list[str]:
    return textwrap.wrap(" ".join(title.split()), width, break_on_hyphens=False)


def _below(line: str, *, ends: bool) -> str:
    """Draw the lanes that continue below a stage's line."""
    return "".join(" " if ends and mark in _STAGES else "│" if mark in _STAGES else mark for mark in line)


class _Lanes:
    """Hold, from left to right, the edges that have left their stage and not yet reached the next."""

    def __init__(self) -> None:
        self._lanes: list[Edge | None] = []
        self._at = 0  # the column of the stage drawn last
        self._ended = -1  # its column, if nothing reads it

    def join(self, name: str) -> list[str]:
        """Draw a line that ends all lanes leading to a stage but the first."""
        ends = [at for at, edge in enumerate(self._lanes) if edge is not None and edge.target == name]
        if not ends:
            self._lanes.append(None)
            self._at = len(self._lanes) - 1
            # Placed right below a stage whose lane ended, it would look fed by that stage.
            return [" ".join(map(_down, self._lanes)).rstrip()] if self._at == self._ended else []
        self._at, *others = ends
        if not others:
            return []
        line = self._line(self._at, others, "├", "╯", "┴")
        for at in others:
            self._lanes[at] = None
        self._trim()
        return [line]

    def place(self, node: Node) -> str:
        """Draw a stage's own line."""
        marks = [_down(edge) for edge in self._lanes]
        marks[self._at] = "◇" if node.kind == "stream" else "○" if node.fused else "●"
        return " ".join(marks).rstrip()

    def fork(self, edges: Sequence[Edge]) -> list[str]:
        """Begin a lane for each stream that leaves the stage; the first goes straight down."""
        if not edges:
            self._lanes[self._at] = None
            self._ended = self._at
            self._trim()
            return []
        self._ended = -1
        self._lanes[self._at] = edges[0]
        begun = []
        for edge in edges[1:]:
            at = self._free(after=self._at)
            self._lanes[at] = edge
            begun.append(at)
        return [self._line(self._at, begun, "├", "╮", "┬")] if begun else []

    def _line(self, at: int, others: Sequence[int], first: str, last: str, between: str) -> str:
        """Draw a line from one lane to others on its right, crossing unrelated lanes."""
        marks = []
        for lane, edge in enumerate(self._lanes[: max(others) + 1]):
            if lane == at:
                marks.append(first)
            elif lane in others:
                marks.append(last if lane == max(others) else between)
            elif lane > at:
                marks.append("┼" if edge else "─")
            else:
                marks.append(_down(edge))
        head, tail = marks[: at + 1], marks[at + 1 :]
        line = " ".join(head) + "".join(f"─{mark}" for mark in tail)
        return " ".join([line, *map(_down, self._lanes[len(marks) :])]).rstrip()

    def _free(self, after: int = -1) -> int:
        """Find an unused lane."""
        for at in range(after + 1, len(self._lanes)):
            if self._lanes[at] is None:
                return at
        self._lanes.append(None)
        return len(self._lanes) - 1

    def _trim(self) -> None:
        while self._lanes and self._lanes[-1] is None:
            self._lanes.pop()


def _down(edge: Edge | None) -> str:
    return "│" if edge else " "
