"""A pipeline's graph, made of what the server keeps of its last run."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from rsq_pipe.engine.changes.last_run import LastRun, describe, parse
from rsq_pipe.engine.fusion import fused
from rsq_pipe.engine.keyspace import counter_fields, groups
from rsq_pipe.ops.as_run import graph_of
from rsq_pipe.ops.memories import state_hashes
from rsq_pipe.ops.windows import window_timers
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load

ROOT = Path(__file__).parents[3]
SPECS = [path for path in sorted((ROOT / "pipelines").glob("*.yaml")) if not path.stem.endswith("_test")]


def kept(graph: Graph) -> LastRun:
    """Write a run down, and read it again."""
    found = parse("shop", describe(graph).dump().decode())
    assert found is not None
    return found


@pytest.mark.parametrize("path", SPECS, ids=[path.stem for path in SPECS])
def test_a_pipeline_as_last_run_is_looked_at_as_that_of_the_file_is(path: Path) -> None:
    graph = load(path)

    made = graph_of(graph.pipeline, kept(graph))

    for told in (groups, counter_fields, fused, state_hashes, window_timers):
        assert told(made) == told(graph), told
    assert [(one.name, one.verb, one.rate) for one in made.stages] == [
        (one.name, one.verb, one.rate) for one in graph.stages
    ]
    assert (made.text, made.reclaim_idle, made.serializer) == (
        graph.text,
        graph.reclaim_idle,
        graph.serializer,
    )


def test_the_bound_of_streams_is_that_of_the_last_run() -> None:
    graph = msgspec.structs.replace(load(SPECS[0]), max_backlog=77)

    assert graph_of(graph.pipeline, kept(graph)).max_backlog == 77


def test_what_an_earlier_release_kept_is_shown_as_far_as_it_goes() -> None:
    graph = load(SPECS[0])
    whole = msgspec.json.decode(describe(graph).dump())
    old = {
        "text": whole["text"],
        "stages": [
            {name: stage[name] for name in ("name", "verb", "reads", "writes", "target", "digests")}
            for stage in whole["stages"]
        ],
    }

    found = parse("shop", msgspec.json.encode(old).decode())

    assert found is not None
    made = graph_of(graph.pipeline, found)
    assert groups(made) == groups(graph)
    assert fused(made) == {}
