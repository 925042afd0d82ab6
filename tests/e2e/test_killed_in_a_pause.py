"""A process that is killed while its stage pauses has handled nothing: what only waited is not to blame."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from tests.support.command_line import rsq_pipe, second_stage, start
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import eventually

DELIVERIES = 2


def test_records_that_wait_in_a_pause_survive_any_number_of_kills(
    tmp_path: Path, name: str, server: StreamServer
) -> None:
    project = Project(tmp_path / "project", name)
    project.records(range(120))
    project.handlers("""
        import pathlib

        DOWN = pathlib.Path(__file__).parent / "down"

        def stock(record):
            if DOWN.exists():
                raise ConnectionRefusedError("no stock service")
            return record
    """)
    (project.root / "down").touch()
    project.spec(
        """
        read: {source: {type: jsonl, path: in.jsonl}}
        stock: {call: "handlers:stock"}
        out: {sink: {type: jsonl, path: out/all.jsonl}}
        """,
        defaults=f"""
        defaults:
          batch: {{size: 40}}
          retry: {{deliveries: {DELIVERIES}}}
          breaker: {{first: 50ms, max: 30s}}
        """,
    )

    for _ in range(DELIVERIES + 2):
        run = start("run", project.path, "--redis", server.url, cwd=project.root)
        # Its pause is of this run, and something is in its hand.
        eventually(
            lambda: (found := second_stage(project, server))["alive"] and found["paused"] and found["pending"]
        )
        run.send_signal(signal.SIGKILL)
        run.communicate()
    (project.root / "down").unlink()
    last = rsq_pipe("run", project.path, "--redis", server.url, "--json", cwd=project.root)

    assert json.loads(last.stdout)["dead_letters"] == 0
    assert last.returncode == 0
    assert project.numbers("out/all.jsonl") == list(range(120))
