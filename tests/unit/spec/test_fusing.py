"""`fuse: true` where a stage cannot be fused is a warning, and nowhere else."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from rsq_pipe.engine.fusion import fused
from rsq_pipe.spec.loader import check
from tests.support.project import Project

VERBS = ("map: {m: n}", "filter: n", "call: handlers:same")
HANDLERS = "def same(record):\n    return record\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project", "web")
    project.handlers(HANDLERS)
    return project


def warned(spec: Path) -> set[str]:
    """Name the stages whose `fuse` is warned of."""
    problems = [problem for problem in check(spec).problems if problem.path.endswith(".fuse")]
    assert all(problem.severity == "warning" for problem in problems)
    return {problem.path.split(".")[1] for problem in problems}


def test_under_defaults_it_means_where_possible(project: Project) -> None:
    stages = """
        read: {source: {type: jsonl, path: in.jsonl}}
        same: {call: handlers:same}
        out: {sink: {type: stdout}}
    """

    spec = project.spec(stages, defaults="defaults: {fuse: true}")

    checked = check(spec)

    assert checked.graph is not None
    assert checked.graph.stage("same").fuse is True
    assert warned(spec) == set()


@pytest.mark.parametrize("seed", range(30))
def test_who_says_so_is_fused_or_warned_of(project: Project, seed: int) -> None:
    draw = random.Random(seed)
    stages = ["s0: {source: {type: jsonl, path: in.jsonl}}", "s1: {from: {stream: web-in}, map: {m: n}}"]
    for number in range(2, 12):
        above = [f"s{draw.randrange(number)}{draw.choice(['', '', '', '.errors'])}" for _ in range(2)]
        inputs = above[0] if draw.random() < 0.8 else f"[{', '.join(dict.fromkeys(above))}]"
        fuse = draw.choice(["", ", fuse: true", ", fuse: true", ", fuse: false"])
        stages.append(f"s{number}: {{from: {inputs}, {draw.choice(VERBS)}{fuse}}}")
    spec = project.spec("\n".join(stages))

    checked = check(spec)

    assert checked.graph is not None, checked.problems
    willing = {stage.name for stage in checked.graph.stages if stage.fuse}
    assert warned(spec) == willing - set(fused(checked.graph))
