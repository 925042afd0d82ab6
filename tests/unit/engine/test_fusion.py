"""Which stages run in the worker of the stage above them: every rule."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from rsq_pipe.engine.fusion import fused, joined
from rsq_pipe.spec.fusing import PURE
from rsq_pipe.spec.graph import Graph, Stage, StreamRef
from tests.unit.engine.stages import graph, sink, source, stage

PUBLISHED = StreamRef("orders-out", external=True)


def pure(name: str, *inputs: str | StreamRef, verb: Any = "map", **settings: Any) -> Stage:
    refs = tuple(StreamRef(one) if isinstance(one, str) else one for one in inputs)
    return stage(name, verb=verb, inputs=refs, **settings)


def below(pipeline: Graph, name: str, names: Collection[str] | None = None) -> dict[str, str]:
    """Port -> the stage that joins there."""
    at = pipeline.stage(name)
    chosen = [one.name for one in pipeline.stages] if names is None else names
    found = joined(pipeline, at, chosen, computes_only=at.verb == "source")
    return {port: reader.name for port, reader in found.items()}


@pytest.mark.parametrize("verb", sorted(PURE))
def test_what_only_computes_joins_the_stage_above_a_source_included(verb: Any) -> None:
    pipeline = graph(source(), stage(), pure("next", "price", verb=verb), pure("first", "read", verb=verb))

    assert below(pipeline, "price") == {"": "next"}
    assert below(graph(source(), pure("first", "read", verb=verb)), "read") == {"": "first"}


def test_of_the_ports_of_a_route_each_has_its_own_reader() -> None:
    pipeline = graph(
        *(source(), stage("route", verb="route", ports=("large", "small", "odd"))),
        *(pure("a", "route.large"), pure("b", "route.small"), sink("out", StreamRef("route.odd"))),
    )

    assert below(pipeline, "route") == {"large": "a", "small": "b"}


@pytest.mark.parametrize(("fuse", "joins"), [(None, False), (False, False), (True, True)])
def test_a_call_joins_only_where_the_file_says_so(fuse: bool | None, joins: bool) -> None:
    pipeline = graph(source(), stage(), stage("next", inputs=(StreamRef("price"),), fuse=fuse))

    assert below(pipeline, "price") == ({"": "next"} if joins else {})


def test_no_call_joins_a_source_nor_a_chain_that_begins_with_one() -> None:
    pipeline = graph(
        *(source(), pure("clean", "read")),
        *(stage("next", inputs=(StreamRef("clean"),), fuse=True), pure("last", "next")),
    )

    assert below(graph(source(), stage(fuse=True)), "read") == {}
    assert joined(pipeline, pipeline.stage("clean"), ["next"], computes_only=True) == {}
    assert fused(pipeline) == {"clean": "read", "last": "next"}


def test_a_call_joins_a_pure_stage_that_reads_a_stream_of_its_own() -> None:
    pipeline = graph(
        *(source(), stage(), pure("clean", "price", fuse=False)),
        stage("next", inputs=(StreamRef("clean"),), fuse=True),
    )

    assert fused(pipeline) == {"next": "clean"}


def test_fuse_false_keeps_the_stream() -> None:
    assert below(graph(source(), pure("a", "read", fuse=False)), "read") == {}


@pytest.mark.parametrize("fuse", [None, True])
def test_a_sink_never_joins(fuse: bool | None) -> None:
    pipeline = graph(source(), stage("out", verb="sink", inputs=(StreamRef("read"),), outputs={}, fuse=fuse))

    assert below(pipeline, "read") == {}


def test_a_port_that_several_read_stays_a_stream() -> None:
    assert below(graph(source(), pure("a", "read"), pure("b", "read")), "read") == {}
    assert below(graph(source(), pure("a", "read"), sink("out", StreamRef("read"))), "read") == {}


def test_a_stage_with_several_inputs_reads_streams() -> None:
    pipeline = graph(source(), source("other"), pure("both", "read", "other"))

    assert (below(pipeline, "read"), below(pipeline, "other")) == ({}, {})
    late = graph(source(), stage(), pure("late", "price", "price:dlq"))
    assert below(late, "price") == {}


def test_a_stage_that_reads_dead_letters_reads_a_stream() -> None:
    assert below(graph(source(), stage(), pure("late", "price:dlq")), "price") == {}


def test_a_stream_that_several_write_stays_one() -> None:
    shared = {"": StreamRef("shared")}
    pipeline = graph(
        *(source(), stage("a", outputs=shared), stage("b", outputs=shared), pure("next", "shared"))
    )

    assert (below(pipeline, "a"), below(pipeline, "b")) == ({}, {})


def test_a_published_stream_is_written_and_read() -> None:
    pipeline = graph(source(), stage("a", outputs={"": PUBLISHED}), pure("next", PUBLISHED))

    assert below(pipeline, "a") == {}
    assert below(graph(source(), pure("out", "read", outputs={"": PUBLISHED})), "read") == {"": "out"}


def test_a_stage_that_does_not_run_here_is_fed_through_its_stream() -> None:
    pipeline = graph(source(), pure("a", "read"), pure("b", "a"))

    assert below(pipeline, "read", ["read", "b"]) == {}
    assert fused(pipeline, ["read", "a"]) == {"a": "read"}
    assert fused(pipeline, ["a", "b"]) == {"b": "a"}
    assert fused(pipeline, []) == {}


def test_a_chain_is_as_long_as_the_stages_join() -> None:
    pipeline = graph(
        *(source(), pure("a", "read"), pure("b", "a"), stage("c", inputs=(StreamRef("b"),))),
        *(pure("d", "c"), stage("e", inputs=(StreamRef("d"),), fuse=True), sink("out", StreamRef("e"))),
    )

    assert fused(pipeline) == {"a": "read", "b": "a", "d": "c", "e": "d"}
