"""lookup in a server that goes away for a while: no record is lost, none is to blame."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.streams.client import StreamClient
from tests.e2e.killed_in_turn import killed_in_turn
from tests.support.command_line import second_stage, start
from tests.support.postgres import PostgresServer
from tests.support.private_server import PASSWORD
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, eventually

COUNT = 3_000
ONE_ATTEMPT = """
defaults:
  batch: {size: 100}
  retry: {attempts: 1}
  breaker: {first: 100ms, max: 500ms}
"""


def stage(project: Project, server: StreamServer) -> dict[str, Any]:
    return second_stage(project, server, DSN="host=x")


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
        # On a busy disk the server answers up to two seconds before it writes to its append-only file.
        assert await client.channel.execute("WAITAOF", 1, 0, 30_000, key=name, timeout=40) == [1, 0]
    own_server.kill()
    process = start("run", project.path, "--redis", server.url, "--json", cwd=project.root)
    try:
        paused = eventually(lambda: stage(project, server)["paused"])
        assert "TableUnavailableError: stage 'enrich': its table cannot be read now" in paused["why"]
        own_server.start()
        out, err = process.communicate(timeout=PATIENCE)
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


@pytest.mark.timeout(120)
async def test_kills_of_workers_and_of_postgres_lose_double_and_miscount_nothing(
    server: StreamServer, own_postgres: PostgresServer, tmp_path: Path, name: str
) -> None:
    draw = random.Random(11)
    count = 20_000
    project = Project(tmp_path / "project", name)
    project.records(range(count))
    query = "select id, half from t where id = any($1)"
    table = f'{{postgres: {{dsn: "${{secret:DSN}}", query: "{query}"}}}}'
    project.spec(
        f"""
        read: {{source: {{type: jsonl, path: in.jsonl}}}}
        enrich: {{lookup: {{table: {table}, key: n, by: id, fields: [half], missing: reject}}}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
        """,
        top="reclaim: {idle: 500ms}",
        defaults=ONE_ATTEMPT,
    )
    own_postgres.execute("create table t (id int primary key, half int)")
    own_postgres.execute(f"insert into t select n, n / 2 from generate_series(0, {count - 1}, 2) n")

    async def outage() -> None:
        own_postgres.kill()
        own_postgres.start()

    in_the_middle, _ = await killed_in_turn(
        *(project, server, lambda: [draw.randrange(2)], outage),
        stage="enrich",
        hidden=PASSWORD,
        count=count,
        kills=5,
        code=4,
        DSN=own_postgres.dsn,
    )

    assert in_the_middle >= 3
    assert project.numbers("out/all.jsonl") == list(range(0, count, 2))
    assert all(line["half"] == line["n"] // 2 for line in project.lines("out/all.jsonl"))
    found = stage(project, server)
    assert found["counters"]["dead"] == found["dead"] == count // 2
    assert sum(found["unknown"].values()) == count // 2
