"""Fresh check: whether all sinks of a pipeline can start over, before anything is deleted."""

from __future__ import annotations

import asyncio

from rsq_pipe.connectors.endpoint import UnreachableError
from rsq_pipe.connectors.sink import CheckedSink, TargetUnavailableError
from rsq_pipe.connectors.table import connector
from rsq_pipe.engine.changes.ledger_names import ledger_names
from rsq_pipe.engine.connecting import sink_of
from rsq_pipe.errors import SinkError
from rsq_pipe.spec.fusing import sends
from rsq_pipe.spec.graph import ConnectorRef, Graph, Stage
from rsq_pipe.spec.protected import check_target
from rsq_pipe.streams.client import StreamClient

SECONDS = 10.0
"""How long a target may take to answer."""


async def check_fresh(client: StreamClient, graph: Graph) -> None:
    """
    Check that no sink will refuse to start over: later, the others would already have been emptied.

    Raises:
        SinkError: A sink would refuse, or its target cannot be reached.

    Cancellation: at any point; targets are only read.
    """
    ledgers = await ledger_names(client, graph.pipeline)
    for stage in graph.stages:
        if stage.verb != "sink" or sends(stage) or connector("sink", stage.options.type).connect is None:
            continue
        try:
            await asyncio.to_thread(_check, client, graph, stage, ledgers.get(stage.name, ""))
        except (SinkError, TargetUnavailableError, UnreachableError) as exc:
            where = f"stage {stage.name!r}: "
            message = str(exc).removeprefix(where)
            if isinstance(exc, UnreachableError):
                message = f"{_target(graph, stage)}: {message}"
            message = f"{where}{message}. It was asked before --fresh began: nothing was deleted"
            raise SinkError(message, stage=stage.name) from exc


def _check(client: StreamClient, graph: Graph, stage: Stage, ledger: str) -> None:
    check_target(graph, stage)
    ref: ConnectorRef = stage.options
    sink = sink_of(client, graph, stage, ledger)
    if not sink.exclusive:
        return
    if isinstance(sink, CheckedSink):
        sink.check_anew()
    elif (endpoint := connector("sink", ref.type).endpoint) is not None:
        endpoint(ref.options, stage=stage.name, root=graph.root).reach(SECONDS)


def _target(graph: Graph, stage: Stage) -> str:
    ref: ConnectorRef = stage.options
    found = connector("sink", ref.type).endpoint
    assert found is not None
    return str(found(ref.options, stage=stage.name, root=graph.root).target)
