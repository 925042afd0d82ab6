"""That a stage is paused is read from the pipeline's hash, and believed for a while."""

from __future__ import annotations

import pytest

from rsq_pipe.engine.state.paused import LASTS, Paused, pause_field, pause_fields, paused_stages
from tests.unit.engine.stages import graph, sink, source, stage

PIPELINE = graph(source(), stage(), sink())
PAUSED = Paused("Down: no service", since=900.0, at=1_000.0, by="run-1")


def test_what_is_written_is_read() -> None:
    assert pause_fields(PIPELINE) == [pause_field(stage.name) for stage in PIPELINE.stages]
    table = {pause_field("price"): PAUSED.dump().decode()}
    assert paused_stages(PIPELINE, table, 1_001.0) == {"price": PAUSED}


@pytest.mark.parametrize(("now", "found"), [(1_000 + LASTS, True), (1_001 + LASTS, False)])
def test_a_reported_pause_is_believed_for_a_while(now: float, found: bool) -> None:
    table = {pause_field("price"): PAUSED.dump().decode()}
    assert bool(paused_stages(PIPELINE, table, now)) is found


def test_what_another_release_wrote_is_passed_over() -> None:
    assert paused_stages(PIPELINE, {pause_field("price"): "since Monday"}, 1_000.0) == {}
