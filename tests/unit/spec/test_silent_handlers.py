"""A handler without a `return` drops every record, which is told of before a run drops them."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rsq_pipe.cli.running.before_run import warn
from rsq_pipe.spec.loader import check, load
from tests.support.project import Project

FORGETS = "def work(order):\n    order['total'] = 1\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project", "shop")
    project.records([1])
    return project


def spec(project: Project, work: str, *, last: bool = False) -> Path:
    return project.spec(f"""
        read: {{source: {{type: jsonl, path: in.jsonl}}}}
        work: {{{work}}}
        {"" if last else "out: {sink: {type: stdout}}"}
    """)


def test_validate_and_run_warn_of_a_handler_that_returns_nothing(project: Project) -> None:
    project.handlers(FORGETS)
    path = spec(project, "call: handlers:work")

    (problem,) = check(path).problems
    with capture_logs() as logs:
        warn(load(path, check_fields=True))

    assert problem.severity == "warning"
    assert problem.what.startswith("'handlers:work' has no `return`")
    assert problem.fix == "return the record, or say `to: none` if nothing is to follow"
    assert [line["event"] for line in logs] == [problem.what]


@pytest.mark.parametrize(
    ("work", "handlers"),
    [("call: handlers:work, to: none", FORGETS), ("call: handlers:work", f"{FORGETS}    return order\n")],
)
def test_one_that_is_last_or_returns_is_not_told_of(project: Project, work: str, handlers: str) -> None:
    project.handlers(handlers)

    assert check(spec(project, work, last="none" in work)).problems == ()


@pytest.mark.parametrize(
    ("handlers", "fix"),
    [
        ("def work(order):\n    return order\n", "write `workers: 8`, or make it `async def`"),
        (
            "from rsq_pipe import batch_handler\n\n@batch_handler\nasync def work(all):\n    return all\n",
            "leave it out, or call it for each record",
        ),
    ],
)
def test_a_concurrency_that_does_nothing_is_warned_of(project: Project, handlers: str, fix: str) -> None:
    project.handlers(handlers)

    (problem,) = check(spec(project, "call: handlers:work, concurrency: 8")).problems

    assert (problem.severity, problem.fix) == ("warning", fix)
    assert problem.what.startswith("it does nothing here: the handler ")


def test_a_concurrency_of_an_async_handler_is_not_told_of(project: Project) -> None:
    project.handlers("async def work(order):\n    return order\n")

    assert check(spec(project, "call: handlers:work, concurrency: 8")).problems == ()
