"""The tables of `run`: a fused stage is marked, and a line adds up."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console, RenderableType

from rsq_pipe.cli.output.table import progress_table, summary_table
from rsq_pipe.cli.running.run_report import document
from rsq_pipe.engine.fusion import fused
from rsq_pipe.engine.summary import summarize
from rsq_pipe.spec.loader import load
from tests.support.project import Project

STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    add: {map: {m: n}}
    out: {sink: {type: stdout}}
"""


def lines(table: RenderableType) -> list[str]:
    """The lines of a table below its head."""
    screen = Console(file=io.StringIO(), width=80)
    screen.print(table)
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue().splitlines()[1:]


def names(table: RenderableType) -> list[str]:
    return [line.partition("  ")[0].rstrip() for line in lines(table)]


def test_a_fused_stage_is_marked_while_it_runs_at_the_end_and_in_json(tmp_path: Path) -> None:
    graph = load(Project(tmp_path / "project", "web").spec(STAGES))
    summary = summarize(graph, {}, {"add:in": 3}, seconds=1, finished=True, dead_letters=0)
    above = fused(graph)

    assert names(summary_table(summary, above)) == ["read", "add (fused)", "out"]
    assert names(progress_table(graph, summary, None, above)) == ["read", "add (fused)", "out"]
    stages = document(graph, summary, above)["stages"]
    assert {stage["name"]: stage["fused"] for stage in stages} == {"read": None, "add": "read", "out": None}


def test_a_stage_whose_neighbour_runs_elsewhere_is_not_fused(tmp_path: Path) -> None:
    graph = load(Project(tmp_path / "project", "web").spec(STAGES))
    summary = summarize(graph, {}, {}, seconds=1, finished=True, dead_letters=0)

    assert names(summary_table(summary, fused(graph, ["add", "out"])))[1] == "add"


def test_a_slow_stage_shows_a_rate_below_one(tmp_path: Path) -> None:
    graph = load(Project(tmp_path / "project", "web").spec(STAGES))
    counters = {"add:in": 5, "add:out": 5}
    summary = summarize(graph, {}, counters, seconds=20, finished=True, dead_letters=0)

    assert lines(summary_table(summary, {}))[1].split()[-1] == "0.25"


def test_a_line_adds_up_where_records_were_retried(tmp_path: Path) -> None:
    graph = load(Project(tmp_path / "project", "web").spec(STAGES))
    counters = {"add:in": 17, "add:retried": 5, "add:out": 9, "add:dropped": 2, "add:dead": 1}
    summary = summarize(graph, {}, counters, seconds=2, finished=True, dead_letters=1)

    for table in (summary_table(summary, {}), progress_table(graph, summary, None, {})):
        row = lines(table)[1].split()
        assert row[:6] == ["add", "12", "9", "2", "5", "1"]
    (add,) = (stage for stage in document(graph, summary, {})["stages"] if stage["name"] == "add")
    assert (add["in"], add["retried"], add["records"]) == (17, 5, 12)
