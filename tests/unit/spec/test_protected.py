"""No sink writes its own pipeline file, handlers, sources or the embedded server's data."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rsq_pipe.errors import SinkError
from rsq_pipe.spec.loader import check, load
from rsq_pipe.spec.protected import check_target

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "protected_shop.py").write_text("def price(record):\n    return record\n")
    (tmp_path / "in.jsonl").write_text("{}\n")
    (tmp_path / ".rsq").mkdir()

    def write_spec(target: str) -> Path:
        path = tmp_path / "pipeline.yaml"
        path.write_text(
            "version: 1\npipeline: p\nstages:\n"
            "  read: {source: {type: jsonl, path: '*.jsonl'}}\n"
            "  price: {call: 'protected_shop:price'}\n"
            f"  out: {{sink: {{type: jsonl, exists: replace, path: {target}}}}}\n"
        )
        return path

    return write_spec


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("pipeline.yaml", "this is the pipeline file"),
        ("x/../pipeline.yaml", "this is the pipeline file"),
        ("protected_shop.py", "this is Python code"),
        ("new.py", "this is Python code"),
        (".rsq/data/appendonlydir/appendonly.aof.1.incr.aof", "keeps its data in .rsq"),
        ("in.jsonl", "that stage 'read' reads"),
        ("linked", "this is the pipeline file"),
    ],
)
def test_a_sink_that_would_overwrite_a_file_of_the_pipelines_own_is_a_mistake_with_its_place(
    tmp_path: Path, write: Write, target: str, why: str
) -> None:
    (tmp_path / "linked").symlink_to("pipeline.yaml")

    problems = [problem for problem in check(write(target)).problems if problem.severity == "error"]

    assert [(problem.line, problem.column) for problem in problems] == [(6, 52)]
    assert why in problems[0].what


@pytest.mark.parametrize("own", ["pipeline.yaml", "protected_shop.py", "in.jsonl"])
@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_link_that_was_made_since_is_found_as_the_sink_opens(
    tmp_path: Path, write: Write, own: str, link: Callable[[Path, Path], None]
) -> None:
    graph = load(write("out/all.txt"))
    check_target(graph, graph.stage("out"))
    (tmp_path / "out").mkdir()
    link(tmp_path / own, tmp_path / "out" / "all.txt")

    with pytest.raises(SinkError, match=r"stage 'out': file out/all.txt: .*; write to another"):
        check_target(graph, graph.stage("out"))


@pytest.mark.timeout(10)
def test_a_pipeline_file_that_is_a_pipe_or_device_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")

    for path in (tmp_path / "pipe.yaml", Path("/dev/zero"), Path("/dev/tty")):
        (problem,) = check(path).problems
        assert "no regular file" in problem.what or "cannot be read" in problem.what


def test_a_pipeline_file_that_is_too_large_is_read_no_further_than_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a file of holes: reading it whole would take a terabyte

    (problem,) = check(path).problems
    assert "larger than" in problem.what
