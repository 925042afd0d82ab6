"""Counters of a server that only grow, and are lower than they were."""

from __future__ import annotations

from msgspec.structs import replace

from rsq_pipe.engine.rewind import lost_writes
from rsq_pipe.engine.state.state import PipelineState

READ = "{shop}:read"
BEFORE = PipelineState({}, {READ: 200}, {"read:out": 1_200, "price:in": 1_000}, settled={READ: 1_000})


def test_a_server_on_which_counters_have_grown_has_lost_nothing() -> None:
    later = replace(BEFORE, backlog={READ: 0}, counters={"read:out": 1_300, "price:in": 1_300})
    later = replace(later, settled={READ: 1_300})

    assert lost_writes(BEFORE, {f"appended:{READ}": 1_300}, later) == {}
    assert lost_writes(BEFORE, {}, BEFORE) == {}
    assert lost_writes(None, {}, BEFORE) == {}


def test_a_counter_below_the_look_before_tells_how_much_was_lost() -> None:
    earlier = replace(BEFORE, counters={"read:out": 500})

    assert lost_writes(BEFORE, {}, earlier) == {"read:out": 700, "price:in": 1_000}


def test_what_settlements_reported_since_the_look_before_counts_as_known() -> None:
    known = {f"appended:{READ}": 1_250, f"settled:price:{READ}": 1_100}

    assert lost_writes(BEFORE, known, BEFORE) == {f"appended:{READ}": 50}
