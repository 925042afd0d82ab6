"""Connecting: creates the source or sink of a stage from its connector; nothing is opened yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsq_pipe.connectors.sink import Sink
from rsq_pipe.connectors.source import Source
from rsq_pipe.connectors.table import connector
from rsq_pipe.spec.graph import ConnectorRef, Graph, Stage

if TYPE_CHECKING:  # `preview` and `test` need no client
    from rsq_pipe.streams.client import StreamClient


def source_of(graph: Graph, stage: Stage) -> Source:
    """Create the source of a stage."""
    ref: ConnectorRef = stage.options
    source: Source = connector("source", ref.type).made(
        ref.options, pipeline=graph.pipeline, stage=stage.name, root=ref.home or graph.root
    )
    return source


def sink_of(client: StreamClient, graph: Graph, stage: Stage, ledger: str = "") -> Sink:
    """Create the sink of a stage; `ledger` is the name of its ledger, if not the stage's."""
    ref: ConnectorRef = stage.options
    sink: Sink = connector("sink", ref.type).made(
        ref.options,
        pipeline=graph.pipeline,
        stage=stage.name,
        root=graph.root,
        client=client,
        ledger=ledger,
    )
    return sink
