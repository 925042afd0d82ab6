"""lookup in a server that goes away for a while: no record is lost, none is to blame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rsq_pipe.streams.client import StreamClient
from tests.support.command_line import rsq_pipe, start
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import eventually

COUNT = 3_000
ONE_ATTEMPT = """
defaults:
  batch: {size: 100}
  retry: {attempts: 1}
  breaker: {first: 100ms, max: 500ms}
"""


def stage(project: Project, server: StreamServer) -> dict[str, Any]:
    done = rsq_pipe("status", project.path, "--redis", server.url, "--json", cwd=project.root)
    found: dict[str, Any] = json.loads(done.stdout)["stages"][1]
    return found


async def test_redis_goes_away_and_comes_back_and_no_record_used_up_its_one_attempt(
    server: StreamServer, own_server: StreamServer, tmp_path: Path, name: str
) -> None:
    project = Project(tmp_path / "project", name)
    project.records(range(COUNT))
    table = f'{{redis: {{key: "{name}:{{n}}", url: "{own_server.url}"}}}}'
    project.spec(
        f"""
        read: {{source: {{type: jsonl, path: in.jsonl}}}}
        enrich: {{lookup: {{table: {table}, key: n, fields: [half]}}}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
        """,
        defaults=ONE_ATTEMPT,
    )
    async with StreamClient.from_url(f"unix://{own_server.socket}") as client:
        for n in range(0, COUNT, 2):
            await client.channel.execute("HSET", f"{name}:{n}", "half", n // 2, key=name)
    own_server.kill()
    process = start("run", project.path, "--redis", server.url, "--json", cwd=project.root)
    try:
        paused = eventually(lambda: stage(project, server)["paused"], timeout=20)
        assert "TableUnavailableError: stage 'enrich': its table does not answer" in paused["why"]
        own_server.start()
        out, err = process.communicate(timeout=40)
    finally:
        process.kill()
        process.communicate()

    assert process.returncode == 0, err
    assert json.loads(out)["dead_letters"] == 0
    assert project.numbers("out/all.jsonl") == list(range(COUNT))
    for line in project.lines("out/all.jsonl"):
        assert line["half"] == (None if line["n"] % 2 else str(line["n"] // 2))
    unknown = stage(project, server)["unknown"]
    assert sum(unknown.values()) == COUNT // 2
