"""No sink writes its own pipeline file, handlers, sources or the embedded server's data."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rsq_pipe.errors import SinkError
from rsq_pipe.spec.loader import check, load
from rsq_pipe.spec.protected import check_target, why_taken

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "protected_shop.py").write_text("def price(record):\n    return record\n")
    (tmp_path / "in.jsonl").write_text("{}\n")
    (tmp_path / ".rsq").mkdir()

    def write_spec(target: str, source: str = "*.jsonl") -> Path:
        path = tmp_path / "pipeline.yaml"
        path.write_text(
            "version: 1\npipeline: p\nstages:\n"
            f"  read: {{source: {{type: jsonl, path: '{source}'}}}}\n"
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
        ("same/pipeline.yaml", "this is the pipeline file"),
        ("same/same/in.jsonl", "that stage 'read' reads"),
        ("same/new.jsonl", "that stage 'read' reads"),
        ("same/.rsq/data/file", "keeps its data in .rsq"),
        (".RSQ/data/file", "keeps its data in .rsq"),
        (".rsq", "keeps its data in .rsq"),
        ("NEW.PY", "this is Python code"),
        ("code.pyc", "this is Python code"),
        ("dangling", "this is Python code"),
    ],
)
def test_a_sink_that_would_overwrite_a_file_of_the_pipelines_own_is_a_mistake_with_its_place(
    tmp_path: Path, write: Write, target: str, why: str
) -> None:
    (tmp_path / "linked").symlink_to("pipeline.yaml")
    (tmp_path / "dangling").symlink_to("nothing_there.py")
    (tmp_path / "same").symlink_to(".")

    problems = [problem for problem in check(write(target)).problems if problem.severity == "error"]

    assert [(problem.line, problem.column) for problem in problems] == [(6, 52)]
    assert why in problems[0].what


@pytest.mark.parametrize(
    "source", ["link/*.jsonl", "link/**/*.jsonl", "link/**", "link/new.jsonl", "./link/../link/*"]
)
def test_a_file_that_a_source_would_find_through_a_link_to_its_folder_is_a_mistake(
    tmp_path: Path, write: Write, source: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("out")

    problems = [
        problem for problem in check(write("out/new.jsonl", source)).problems if problem.severity == "error"
    ]

    assert ["that stage 'read' reads" in problem.what for problem in problems] == [True]


@pytest.mark.parametrize("source", ["l*/*.jsonl", "l*/**", "**/../l*/*.jsonl", "l*/new.jsonl"])
def test_a_file_that_a_source_would_find_once_it_is_there_is_found_as_the_sink_opens(
    tmp_path: Path, write: Write, source: str
) -> None:
    (tmp_path / "out").mkdir()
    graph = load(write("out/new.jsonl", source))
    check_target(graph, graph.stage("out"))
    (tmp_path / "link").symlink_to("out")

    with pytest.raises(SinkError, match="stage 'read' reads it"):
        check_target(graph, graph.stage("out"))


@pytest.mark.parametrize(
    "source", ["in*.jsonl", "out/*.csv", "out/*/*.jsonl", "o*/[a-m]*.jsonl", "*/.*.jsonl"]
)
def test_a_file_that_no_source_finds_may_be_written(tmp_path: Path, write: Write, source: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "new.jsonl").touch()
    graph = load(write("out/new.jsonl", source))

    check_target(graph, graph.stage("out"))


def test_two_sinks_of_one_file_are_a_mistake_by_whatever_links_it_is_spelt(
    tmp_path: Path, write: Write
) -> None:
    (tmp_path / "same").symlink_to(".")
    spec = write("out.txt")
    spec.write_text(f"{spec.read_text()}  more: {{from: price, sink: {{type: jsonl, path: same/out.txt}}}}\n")

    (problem,) = (problem for problem in check(spec).problems if problem.severity == "error")

    assert "writes the file that stage 'out' writes" in problem.what


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("pipeline.yaml", "this is the pipeline file"),
        ("in.jsonl", "stage 'read' reads it"),
        ("new.jsonl", "stage 'read' reads it"),
        ("out.txt", "stage 'out' writes it"),
        ("linked", "stage 'out' writes it"),
        ("protected_shop.py", "this is Python code, where handlers are imported from"),
        (".rsq/traces", "the embedded server keeps its data in .rsq"),
        ("traces.txt", ""),
    ],
)
def test_a_run_writes_its_traces_into_no_file_of_the_pipelines_own(
    tmp_path: Path, write: Write, file: str, why: str
) -> None:
    (tmp_path / "linked").symlink_to("out.txt")

    assert why_taken(load(write("out.txt")), tmp_path / file) == why


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
        assert "not a regular file" in problem.what or "cannot be read" in problem.what


def test_a_pipeline_file_that_is_too_large_is_read_no_further_than_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a file of holes: reading it whole would take a terabyte

    (problem,) = check(path).problems
    assert "larger than" in problem.what
