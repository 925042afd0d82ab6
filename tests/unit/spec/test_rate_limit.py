"""A stage's `rate` and `burst`, from its settings and again from a file that has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.engine.fusion import fused
from rsq_pipe.errors import SpecSyntaxError, SpecValidationError
from rsq_pipe.spec.graph import RateLimit
from rsq_pipe.spec.loader import load
from rsq_pipe.spec.rate_limit import read_limits

SPEC = """
version: 1
pipeline: p
stages:
  read: {source: {type: stream, stream: in}, rate: 10/m}
  a: {map: {n: 1}}
  b: {map: {n: 2}, rate: 500/s}
  c: {map: {n: 3}}
  out: {sink: {type: stream, stream: out}, rate: 2/s, burst: 1k}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "p.yaml"
    path.write_text(SPEC)
    return path


def test_a_burst_is_a_tenth_of_a_second_and_at_least_one_unless_it_is_given(spec: Path) -> None:
    graph = load(spec)

    assert {stage.name: stage.rate for stage in graph.stages} == {
        "read": RateLimit("10/m", 10 / 60, 1),
        "a": None,
        "b": RateLimit("500/s", 500.0, 50),
        "c": None,
        "out": RateLimit("2/s", 2.0, 1_000),
    }


def test_a_stage_with_a_rate_has_a_worker_of_its_own_and_those_below_it_join_it(spec: Path) -> None:
    assert fused(load(spec)) == {"a": "read", "c": "b"}


def test_a_rate_does_not_make_another_pipeline_of_it(spec: Path) -> None:
    before = load(spec).spec_hash
    spec.write_text(SPEC.replace("500/s", "5/s").replace(", burst: 1k", ""))

    assert load(spec).spec_hash == before


def test_only_the_limits_of_a_changed_file_are_read(spec: Path) -> None:
    spec.write_text(SPEC.replace("500/s", "5/h").replace("map: {n: 1}", "call: 'nobody:knows'"))

    found = read_limits(spec)

    assert found["b"] == RateLimit("5/h", 5 / 3600, 1)
    assert (found["a"], found["out"]) == (None, RateLimit("2/s", 2.0, 1_000))


@pytest.mark.parametrize("text", ["version: 1", "stages:", "stages: [a]", "stages: {a: 7}"])
def test_a_file_in_the_middle_of_being_written_has_no_limits(spec: Path, text: str) -> None:
    spec.write_text(text)

    assert read_limits(spec) == {}


def test_wrong_limits_of_a_changed_file_are_refused(spec: Path) -> None:
    spec.write_text(SPEC.replace("500/s", "500"))
    with pytest.raises(SpecValidationError, match=r":7:26: stages\.b\.rate: 500 is not a rate"):
        read_limits(spec)

    spec.write_text("stages: {")
    with pytest.raises(SpecSyntaxError):
        read_limits(spec)
