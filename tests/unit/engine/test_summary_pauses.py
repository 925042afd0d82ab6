"""The summary of a run does not repeat what an earlier run was waiting for."""

from __future__ import annotations

from pathlib import Path

from rsq_pipe.engine.state.hold import Hold
from rsq_pipe.engine.state.paused import Paused
from rsq_pipe.engine.summary import Summary, summarize
from rsq_pipe.spec.loader import load
from tests.support.project import Project


def summary(tmp_path: Path, *, finished: bool) -> Summary:
    graph = load(
        Project(tmp_path / "project", "web").spec("""
            read: {source: {type: jsonl, path: in.jsonl}}
            add: {map: {m: n}}
            out: {sink: {type: stdout}}
        """)
    )
    paused: dict[str, Paused | Hold] = {
        "add": Paused("HTTP Error 500", since=1.0, at=2.0),
        "out": Hold("stock is moved", since=1.0),
    }
    return summarize(graph, {}, {}, seconds=1, finished=finished, dead_letters=0, paused=paused)


def test_a_pause_of_an_earlier_run_is_not_one_of_a_run_that_finished(tmp_path: Path) -> None:
    assert set(summary(tmp_path, finished=True).paused) == {"out"}


def test_a_run_that_was_stopped_names_all_that_paused(tmp_path: Path) -> None:
    assert set(summary(tmp_path, finished=False).paused) == {"add", "out"}
