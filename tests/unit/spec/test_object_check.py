"""Objects that several stages of a pipeline read and write."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.spec.loader import check

READ = "read: {source: {type: objects, url: 's3://lake/in/**/*.jsonl'}}"


def problems(root: Path, *stages: str, top: str = "") -> list[str]:
    path = root / "p.yaml"
    path.write_text("\n".join(["version: 1", "pipeline: p", top, "stages:", *(f"  {one}" for one in stages)]))
    return [f"{one.severity}: {one}" for one in check(path).problems]


def sink(name: str, url: str, more: str = "") -> str:
    return f"{name}: {{from: read, sink: {{type: objects, url: '{url}'{more}}}}}"


def test_parts_that_nothing_else_touches_are_no_problem(tmp_path: Path) -> None:
    stages = [sink("a", "s3://lake/a/{part}.jsonl"), sink("b", "s3://other/in/{part}.jsonl")]
    assert problems(tmp_path, READ, *stages) == []


def test_two_sinks_of_one_place_are_a_mistake(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, READ, *(sink(name, "s3://lake/a/{part}.csv") for name in ("a", "b")))
    assert "stage 'b' writes the objects that stage 'a' writes: s3://lake/a/{part}.csv" in found


@pytest.mark.parametrize("path", ["in/{part}.jsonl", "in/deep/{date}/{part}.jsonl"])
def test_sink_whose_parts_its_own_source_would_read_is_a_mistake(tmp_path: Path, path: str) -> None:
    (found,) = problems(tmp_path, READ, sink("a", f"s3://lake/{path}"))
    assert found.startswith("error")
    assert f"stage 'a' writes objects that stage 'read' reads: s3://lake/{path}" in found


def test_parts_larger_than_half_of_what_may_wait_are_warned_of(tmp_path: Path) -> None:
    large = sink("a", "s3://lake/a/{part}.csv", ", rotate: {records: 50000}")
    (found,) = problems(tmp_path, READ, large)
    assert found.startswith("warning")
    assert "parts of 50,000 records cannot be reached: half of `max_backlog` is 5,000" in found
    assert "write `max_backlog: 100000`" in found

    assert problems(tmp_path, READ, large, top="max_backlog: 100000") == []
