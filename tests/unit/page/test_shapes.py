"""The graph of a pipeline as the API describes it."""

from __future__ import annotations

from rsq_pipe.engine.changes.last_run import LastRun, LastStage
from rsq_pipe.page.shapes import graph


def test_an_edge_comes_from_a_stage_its_port_its_dead_letters_or_from_outside() -> None:
    last = LastRun(
        (
            LastStage("read", "source", writes={"": "{p}:read"}),
            LastStage("route", "route", ("{p}:read", "visits"), {"large": "{p}:route.large"}),
            LastStage("large", "map", ("{p}:route.large",)),
            LastStage("failed", "map", ("{p}:route:dlq",)),
        )
    )

    found = graph(last)

    assert found["edges"] == [
        {"from": "read", "port": "", "to": "route", "stream": "{p}:read"},
        {"from": None, "port": "", "to": "route", "stream": "visits"},
        {"from": "route", "port": "large", "to": "large", "stream": "{p}:route.large"},
        {"from": "route", "port": "errors", "to": "failed", "stream": "{p}:route:dlq"},
    ]
    assert [stage["from"] for stage in found["stages"]] == [[], ["read"], ["route"], ["route"]]
