"""How many records a worker reads at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.engine.intake import MANY, quickly, together
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load
from tests.support.project import Project

READ = "read: {source: {type: jsonl, path: in.jsonl}}\n"
OUT = "out: {sink: {type: stdout}}\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project", "p")


def graph(project: Project, stages: str) -> Graph:
    project.handlers("def work(record):\n    return record\n")
    return load(project.spec(READ + stages + OUT, defaults=""))


@pytest.mark.parametrize(
    ("stage", "records"),
    [
        ("dedupe: {key: id, within: 1h}", MANY),
        ("map: {a: b}, fuse: false", MANY),
        ("map: {a: b}, fuse: false, batch: {size: 10}", 10),
        ("map: {a: b}, fuse: false, batch: {wait: 1s}", 500),
        ('call: "handlers:work"', 500),
    ],
)
def test_a_stage_that_only_computes_reads_many_where_nothing_else_is_asked_for(
    project: Project, stage: str, records: int
) -> None:
    of = graph(project, f"work: {{{stage}}}\n")

    assert together(of, [of.stage("work")]) == records


def test_a_consumer_reads_no_more_at_once_than_a_call_in_its_worker_may_get(project: Project) -> None:
    of = graph(project, 'work: {map: {a: b}, fuse: false}\nthen: {call: "handlers:work", fuse: true}\n')

    assert together(of, [of.stage("work"), of.stage("then")]) == 500


def test_a_consumer_leaves_room_for_others_in_what_the_stream_below_may_hold(project: Project) -> None:
    of = load(
        project.spec(
            f"{READ}work: {{map: {{a: b}}, fuse: false}}\n{OUT}", top="max_backlog: 3000\n", defaults=""
        )
    )

    assert together(of, [of.stage("work")]) == 750


@pytest.mark.parametrize(
    ("stage", "records"),
    [
        ('call: "handlers:work"', MANY),
        ('call: "handlers:work", batch: {size: 499}', 0),
        ('call: "handlers:work", batch: {wait: 1s}', 0),
        ("lookup: {table: {redis: 'customers:{id}'}, key: id, as: customer}", 0),
    ],
)
def test_a_stage_that_calls_a_function_reads_many_while_it_is_quick(
    project: Project, stage: str, records: int
) -> None:
    of = graph(project, f"work: {{{stage}}}\n")

    assert quickly(of, [of.stage("work")]) == records
