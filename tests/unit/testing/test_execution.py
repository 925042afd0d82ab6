"""A test that runs out of time says where its records are."""

from __future__ import annotations

from pathlib import Path

from rsq_pipe.engine.state.state import PipelineState, StageState
from rsq_pipe.spec.graph import Graph
from rsq_pipe.testing.execution import unfinished
from rsq_pipe.testing.pipeline_test import PipelineTest

GRAPH = Graph(pipeline="orders", stages=(), root=Path(), path=Path("orders.yaml"))
TEST = PipelineTest(GRAPH, own=(), given={"read": 5, "back": 2}, sinks={}, streams={})


def test_every_stage_that_is_not_done_is_told_with_what_it_holds() -> None:
    stages = {
        "check": StageState(lag=1, pending=2, retry=3, dead=0, idle=False),
        "price": StageState(lag=None, pending=0, retry=0, dead=0, idle=False),
        "out": StageState(lag=0, pending=0, retry=0, dead=9, idle=True),
    }

    told = unfinished(TEST, PipelineState(stages, {}, {"read:out": 4, "back:out": 2}), 30.0)

    assert told == (
        "pipeline 'orders' was not drained after 30 s: 'read' has given 4 of 5 records; "
        "'check' has 2 in flight, 3 waiting for another attempt, 1 not read yet; 'price' has records to "
        "read. Look there, or give it a longer `timeout`"
    )


def test_a_pipeline_that_had_not_begun_says_so() -> None:
    assert "it had not begun" in unfinished(TEST, None, 0.1)
