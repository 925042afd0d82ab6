"""Where a record may meet itself again, and nowhere else, its branches are named."""

from __future__ import annotations

from typing import Any

from rsq_pipe.spec.branches import branches
from rsq_pipe.spec.graph import Graph, Stage, StreamRef
from tests.unit.engine.stages import graph, sink, source, stage

CLICKS = StreamRef("clicks", external=True)
PUBLISHED = StreamRef("published", external=True)


def reading(name: str, *inputs: str | StreamRef, **settings: Any) -> Stage:
    refs = tuple(StreamRef(one) if isinstance(one, str) else one for one in inputs)
    return stage(name, inputs=refs, **settings)


def named(pipeline: Graph, of: str) -> dict[str, str]:
    return {ref.name: name for ref, name in branches(pipeline, pipeline.stage(of)).items()}


def test_two_stages_that_read_one_stream_are_branches_where_they_meet() -> None:
    pipeline = graph(source(), reading("a", "read"), reading("b", "read"), reading("join", "a", "b"))

    assert named(pipeline, "join") == {"a": "a", "b": "b"}
    assert named(pipeline, "a") == {}


def test_branches_are_found_also_where_they_part_and_meet_far_apart() -> None:
    pipeline = graph(
        *(source(), reading("a", "read"), reading("b", "read"), reading("c", "a"), reading("d", "b")),
        *(source("other"), reading("join", "c", "d", "other")),
    )

    assert named(pipeline, "join") == {"c": "c", "d": "d"}


def test_a_stream_and_what_was_made_of_it_are_branches() -> None:
    pipeline = graph(source(), reading("a", "read"), reading("join", "read", "a"))

    assert named(pipeline, "join") == {"read": "read", "a": "a"}


def test_the_dead_letters_of_one_branch_are_a_branch_of_the_other() -> None:
    pipeline = graph(source(), reading("a", "read"), reading("b", "read"), reading("join", "a", "b:dlq"))

    assert named(pipeline, "join") == {"a": "a", "b:dlq": "b:dlq"}


def test_the_ports_of_a_route_are_no_branches_since_a_record_takes_one_of_them() -> None:
    pipeline = graph(
        *(source(), stage("route", ports=("large", "small"))),
        *(reading("a", "route.large"), reading("b", "route.small"), reading("join", "a", "b")),
    )

    assert named(pipeline, "join") == {}


def test_the_dead_letters_of_a_stage_are_a_branch_of_what_a_replay_makes_of_them() -> None:
    pipeline = graph(source(), reading("a", "read"), reading("join", "a", "a:dlq"))

    assert named(pipeline, "join") == {"a": "a", "a:dlq": "a:dlq"}


def test_two_sources_are_no_branches() -> None:
    assert named(graph(source(), source("other"), reading("join", "read", "other")), "join") == {}


def test_a_stream_from_outside_that_two_stages_read_has_branches_too() -> None:
    pipeline = graph(reading("a", CLICKS), reading("b", CLICKS), reading("join", "a", "b"))

    assert named(pipeline, "join") == {"a": "a", "b": "b"}


def test_what_two_stages_publish_to_one_stream_is_named_where_it_is_published() -> None:
    to = {"": PUBLISHED}
    pipeline = graph(
        source(), reading("a", "read", outputs=to), reading("b", "read", outputs=to), sink("out", PUBLISHED)
    )

    assert (named(pipeline, "a"), named(pipeline, "b")) == ({"read": "read@a"}, {"read": "read@b"})
    assert named(pipeline, "out") == {}
