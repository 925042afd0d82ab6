"""Diagram: a pipeline as nodes and edges, for any output format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from msgspec import Struct, to_builtins

from rsq_pipe.cli.output.printable import on_one_line
from rsq_pipe.engine.fusion import fused
from rsq_pipe.spec.graph import ConnectorRef, Graph, HandlerRef, Stage, StreamRef


class Node(Struct, frozen=True):
    """
    Describe one stage, or one stream from outside.

    Args:
        name: The stage's name, or the stream's key.
        kind: Stage or stream.
        verb: The stage's verb; empty for a stream.
        detail: More about it: the handler, the path, the fields.
        fused: The stage above in whose worker it runs; None if it has its own worker.
    """

    name: str
    kind: Literal["stage", "stream"]
    verb: str = ""
    detail: str = ""
    fused: str | None = None

    @property
    def title(self) -> str:
        """What it does, in one line."""
        verb = "" if self.verb == "pass" else self.verb or self.kind
        return " ".join(filter(None, (verb, self.detail)))


class Edge(Struct, frozen=True):
    """Join two nodes by name; `port` is empty for a stage's one output, `errors` for its dead letters."""

    source: str
    target: str
    port: str
    stream: str


class Diagram(Struct, frozen=True):
    """Hold a pipeline's edges, and its nodes, each after all that feed it."""

    pipeline: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def is_fused(self, edge: Edge) -> bool:
        """Return whether no stream lies in between: the lower stage runs in the worker of the upper one."""
        return any(node.name == edge.target and node.fused == edge.source for node in self.nodes)

    def into(self, name: str) -> list[Edge]:
        """List the edges that lead to a node."""
        return [edge for edge in self.edges if edge.target == name]

    def out_of(self, name: str) -> list[Edge]:
        """List the edges that leave a node."""
        return [edge for edge in self.edges if edge.source == name]

    def document(self, live: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Return the keys of `--json`, which stay the same from one release to the next."""
        return {
            "pipeline": self.pipeline,
            "nodes": [{**to_builtins(node), "live": live.get(node.name)} for node in self.nodes],
            "edges": [to_builtins(edge) for edge in self.edges],
        }


def diagram(graph: Graph) -> Diagram:
    """Turn a graph into nodes and edges."""
    edges = tuple(_edges(graph))
    stages = {stage.name for stage in graph.stages}
    above = fused(graph)
    fed_by = {edge.source for edge in edges} - stages
    feeds = {edge.target for edge in edges} - stages
    nodes = (
        *(Node(name, "stream") for name in dict.fromkeys(edge.source for edge in edges) if name in fed_by),
        *(
            Node(stage.name, "stage", stage.verb, on_one_line(_detail(stage)), above.get(stage.name))
            for stage in graph.stages
        ),
        *(Node(name, "stream") for name in dict.fromkeys(edge.target for edge in edges) if name in feeds),
    )
    return Diagram(graph.pipeline, nodes, edges)


def _edges(graph: Graph) -> Iterator[Edge]:
    writers: dict[StreamRef, list[tuple[str, str]]] = {}
    for stage in graph.stages:
        for port, ref in stage.outputs.items():
            writers.setdefault(ref, []).append((stage.name, port))
        writers.setdefault(stage.dlq, []).append((stage.name, "errors"))
    for stage in graph.stages:
        for ref in stage.inputs:
            for name, port in writers.get(ref, [(ref.name, "")]):
                yield Edge(name, stage.name, port, ref.key(graph.pipeline))
    for stage in graph.stages:
        for port, ref in stage.outputs.items():
            if ref.external and not graph.readers(ref):
                yield Edge(stage.name, ref.name, port, ref.name)


_PLACES = {
    "exec": "shown",
    "objects": "url",
    "python": "call",
    "redis": "key",
    "schedule": "cron",
}
"""Type of a connector to neither a file nor a stream -> the setting with its address."""


def _detail(stage: Stage) -> str:
    match stage.options:
        case ConnectorRef() as connector:
            # Only options with addresses: others may hold secrets.
            shown = ("path", "stream", _PLACES.get(connector.type, ""))
            place: Any = next(filter(None, (getattr(connector.options, one, "") for one in shown if one)), "")
            places = [place] if isinstance(place, str) else list(place)
            return " ".join(filter(None, [connector.type, *places]))
        case HandlerRef() as handler:
            return handler.text
        case dict() as fields:
            return ", ".join(fields)
        case None if stage.verb == "pass":
            return streams(stage)
        case _:
            return getattr(stage.options, "text", "")


def streams(stage: Stage) -> str:
    """Name the streams of a source or sink of type `stream`: the stage reads and writes them itself."""
    return "source stream" if any(ref.external for ref in stage.inputs) else "sink stream"
