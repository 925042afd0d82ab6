"""Process: what the stages that run in one process share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.quarantine import Quarantine


@dataclass(frozen=True, slots=True)
class Process:
    """
    Hold what is shared.

    Args:
        client: The server.
        graph: The pipeline.
        halt: Called with an error that must end the run.
        quarantine: Lets an entry in its last delivery be all that the process has in hand.
    """

    client: StreamClient
    graph: Graph
    halt: Callable[[BaseException], None]
    quarantine: Quarantine = field(default_factory=Quarantine)
