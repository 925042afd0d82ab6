"""Roles: the workers that a process runs for its stages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rsq_pipe.engine.process import Process
from rsq_pipe.engine.processes.role import Role
from rsq_pipe.engine.sinks.sink_worker import SinkWorker
from rsq_pipe.engine.sources.shared_source_worker import source_role
from rsq_pipe.engine.windows.closer import Closer
from rsq_pipe.engine.worker import StageWorker
from rsq_pipe.spec.fusing import closes, sends
from rsq_pipe.spec.graph import Stage


def make_roles(process: Process, names: Sequence[str], *, may_end: bool) -> Iterator[tuple[Stage, Role]]:
    """
    Make the workers of some stages, and what closes their windows.

    Args:
        process: What the stages of this process share.
        names: The stages that run here.
        may_end: Whether the run ends by itself. Then it closes the windows of all stages: a process that
            runs a stage without its source cannot know that all input has ended.
    """
    graph = process.graph
    for name in names:
        stage = graph.stage(name)
        match stage.verb:
            case "source":
                yield stage, source_role(process, stage)
            case "sink" if not sends(stage):
                yield stage, SinkWorker(process, stage)
            case _:
                for _ in range(stage.workers):
                    yield stage, StageWorker(process, stage)
                if closes(stage):
                    yield stage, Closer(process, stage)
    if may_end:
        others = (stage for stage in graph.stages if stage.name not in names and closes(stage))
        yield from ((stage, Closer(process, stage)) for stage in others)
