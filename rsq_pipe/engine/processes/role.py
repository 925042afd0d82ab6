"""Role: what the runner keeps running."""

from __future__ import annotations

from typing import Protocol

from rsq_pipe.engine.state.state import PipelineState


class Role(Protocol):
    """What the runner keeps running: the worker of a stage, a source or a sink."""

    @property
    def has_room(self) -> bool:
        """Whether it may continue: no stream below is full."""
        ...

    def update(self, state: PipelineState) -> None:
        """Update from the pipeline's state."""
        ...

    async def run(self) -> None:
        """Work until `stop`, or until all is done."""
        ...

    def stop(self) -> None:
        """Finish what is in flight and return from `run`."""
        ...
