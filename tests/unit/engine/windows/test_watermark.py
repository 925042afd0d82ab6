"""Watermark: how far the time of a stage has come, by what is known of its inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.engine.windows.watermark import ALL, Input, watermark
from rsq_pipe.spec.above import above, waits_for_end
from rsq_pipe.spec.loader import load
from rsq_pipe.spec.stages.aggregate import Windows
from tests.support.project import Project

HOURLY = Windows(3_600_000, 3_600_000, late=60_000, idle=5_000)


@pytest.mark.parametrize(
    ("inputs", "reached"),
    [
        ([Input(100_000, 0, empty=True)], 40_000),
        ([Input(100_000, 0, empty=True), Input(200_000, 0, empty=False)], 40_000),
        ([Input(100_000, 9_000, empty=True), Input(200_000, 0, empty=True)], 140_000),
        ([Input(100_000, 9_000, empty=False), Input(200_000, 0, empty=True)], 40_000),
        ([Input(None, 0, empty=True), Input(200_000, 0, empty=True)], None),
        ([Input(None, 9_000, empty=True), Input(200_000, 0, empty=True)], 140_000),
        ([Input(100_000, 5_000, empty=True)], ALL),
    ],
    ids=[
        "that of its latest record, less what may be late",
        "that of the slowest input",
        "an idle input holds nothing open",
        "one that is only held up does",
        "an input that has not begun holds all open",
        "but not for ever",
        "with all of them idle nothing is held open",
    ],
)
def test_a_stage_has_come_as_far_as(inputs: list[Input], reached: int | None) -> None:
    assert watermark(inputs, HOURLY) == reached


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project", "p")


STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    shape: {map: {x: n}}
    live: {source: {type: stream, stream: outside}}
    failed: {from: shape.errors, map: {at: 0}}
    files: {from: [shape, failed], aggregate: {every: 1h, on: at, LATE compute: {n: count()}}}
    both: {from: [shape, live], aggregate: {every: 1h, on: at, compute: {n: count()}}}
    total: {from: live, aggregate: {compute: {n: count()}}}
    out: {from: [files, both, total], sink: {type: stdout}}
"""


def test_what_is_above_a_stage_is_all_that_records_come_through(project: Project) -> None:
    graph = load(project.spec(STAGES.replace("LATE", "")))

    assert [one.name for one in above(graph, graph.stage("files"))] == ["read", "shape", "failed"]
    assert [one.name for one in above(graph, graph.stage("both"))] == ["read", "shape", "live"]
    (_, live) = graph.stage("both").inputs
    assert [one.name for one in above(graph, graph.stage("both"), live)] == ["live"]


@pytest.mark.parametrize(
    ("stage", "late", "waits"),
    [("files", "", True), ("files", "late: 0s,", False), ("both", "", False), ("total", "", True)],
)
def test_windows_of_files_wait_for_their_end_and_those_of_streams_do_not(
    project: Project, stage: str, late: str, waits: bool
) -> None:
    graph = load(project.spec(STAGES.replace("LATE", late)))

    assert waits_for_end(graph, graph.stage(stage)) is waits
