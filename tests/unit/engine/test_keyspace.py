"""The keys of a pipeline."""

from __future__ import annotations

from rsq_pipe.engine.keyspace import Keyspace, groups
from rsq_pipe.spec.graph import StreamRef
from tests.unit.engine.stages import graph, sink, source, stage

KEYS = Keyspace("orders")


def test_every_key_carries_the_pipelines_hash_tag() -> None:
    one = stage()

    spelled = [
        KEYS.meta,
        KEYS.stream(StreamRef("price")),
        KEYS.dlq(one),
        KEYS.again_stream(one),
        KEYS.retry(one),
        KEYS.lease(one, "out.jsonl"),
        KEYS.runs,
        KEYS.pattern,
    ]

    assert all(key.startswith("{orders}:") for key in spelled)
    assert len(set(spelled)) == len(spelled)


def test_a_stream_from_outside_keeps_its_name() -> None:
    assert KEYS.stream(StreamRef("clicks", external=True)) == "clicks"


def test_a_stage_reads_what_is_due_again_before_anything_new() -> None:
    at = stage(inputs=(StreamRef("read"), StreamRef("clicks", external=True)))

    assert KEYS.inputs(at) == ("{orders}:price:again", "{orders}:read", "clicks")


def test_a_source_reads_no_stream() -> None:
    assert KEYS.inputs(source()) == ()


def test_every_stage_that_reads_a_stream_has_a_group_on_it() -> None:
    shared = (StreamRef("read"),)

    found = groups(graph(source(), stage("a", inputs=shared), sink("b", *shared)))

    assert found == {
        "{orders}:read": ["a", "b"],
        "{orders}:a:again": ["a"],
        "{orders}:b:again": ["b"],
    }
