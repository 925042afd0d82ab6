"""Standing: where the records of a test are that did not come to its end."""

from __future__ import annotations

from collections.abc import Iterator

from rsq_pipe.engine.state import PipelineState, StageState
from rsq_pipe.testing.pipeline_test import PipelineTest


def standing(test: PipelineTest, state: PipelineState | None, seconds: float) -> str:
    """
    Say what a pipeline still had to do.

    Args:
        test: The pipeline.
        state: What it held at the last look; None where there was none.
        seconds: How long it had.
    """
    late = f"pipeline {test.graph.pipeline!r} was not drained after {seconds:g} s"
    if state is None:
        return f"{late}: it had not begun; give it a longer `timeout`"
    places = [*_unread(test, state), *_unsettled(state)]
    where = "; ".join(places) or "nothing was left to do but to end"
    return f"{late}: {where}. Look there, or give it a longer `timeout`"


def _unread(test: PipelineTest, state: PipelineState) -> Iterator[str]:
    for source, given in test.given.items():
        entered = state.counters.get(f"{source}:out", 0)
        if entered < given:
            yield f"{source!r} has given {entered:,} of {given:,} records"


def _unsettled(state: PipelineState) -> Iterator[str]:
    for name, stage in state.stages.items():
        if not stage.idle:
            yield f"{name!r} has {_work(stage)}"


def _work(stage: StageState) -> str:
    parts = [
        (stage.pending, "in flight"),
        (stage.retry, "waiting for another attempt"),
        (stage.lag or 0, "not read yet"),
    ]
    return ", ".join(f"{count:,} {what}" for count, what in parts if count) or "records to read"
