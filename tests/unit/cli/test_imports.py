"""What a command need not import it does not: that is most of the time that it takes to start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import Project

CHAIN = """
    read: {source: {type: jsonl, path: in.jsonl}}
    work: {call: "handlers:work"}
    out: {sink: {type: jsonl, path: out.jsonl}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project", "shop")
    project.handlers("from rsq_pipe import Context\n\ndef work(record, ctx: Context):\n    return record")
    project.records([1])
    return project


def imported(project: Project, script: str) -> set[str]:
    """Run a script, and name the modules that it has imported by its end."""
    return set(printed(project, f"{script}\nimport sys\nprint(*sys.modules)")[-1].split())


def printed(project: Project, script: str) -> list[str]:
    """Run a script, and return the lines it prints."""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=project.root, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_who_checks_a_file_waits_for_no_logs_and_no_event_loop(project: Project) -> None:
    project.spec(CHAIN)
    call = "from rsq_pipe.cli.validate import command; command(['pipeline.yaml'], standalone_mode=False)"

    loaded = imported(project, call)

    assert "handlers" in loaded
    assert not {"structlog", "asyncio", "redis", "opentelemetry", "rich.console", "duckdb"} & loaded


def test_a_run_imports_what_draws_only_when_it_draws(project: Project) -> None:
    loaded = imported(project, "import rsq_pipe.cli.run")

    assert "structlog" in loaded
    assert not {"rich.console", "rich.live", "pygments", "attr"} & loaded


def test_a_run_imports_no_web_server_and_no_exporter(project: Project) -> None:
    loaded = imported(project, "import rsq_pipe.cli.run")

    assert not {"http.server", "starlette", "opentelemetry.exporter", "prometheus_client"} & loaded


def test_structlog_goes_without_rich_and_rich_is_there_for_everybody_else(project: Project) -> None:
    loaded = imported(
        project, "import rsq_pipe.cli.run, structlog, rich.console\nassert structlog.dev.rich is None"
    )

    assert "rich.console" in loaded


@pytest.mark.parametrize(("command", "is_quick"), [("validate", True), ("test", False)])
def test_a_command_ends_without_a_look_for_garbage_unless_it_has_called_handlers(
    project: Project, command: str, *, is_quick: bool
) -> None:
    project.spec(CHAIN)
    script = f"""
import gc
import sys
from rsq_pipe.cli.start import main

sys.argv = ["rsq-pipe", {command!r}, "pipeline.yaml"]
before = gc.get_freeze_count()  # Python 3.12 begins with some
try:
    main()
except SystemExit:
    print(gc.get_freeze_count() - before)
"""

    assert (int(printed(project, script)[-1]) > 0) is is_quick
