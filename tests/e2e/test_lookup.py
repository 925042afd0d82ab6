"""lookup in a file, as a user sees it: unknown keys are counted exactly, a table may change under a run."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections import Counter
from typing import Any

import pytest

from rsq_pipe.streams.client import StreamClient
from tests.support.command_line import rsq_pipe, start, status_of
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, eventually

CUSTOMERS = "id,name\n" + "".join(f"{n},name {n}\n" for n in range(10))


@pytest.fixture
def project(project: Project) -> Project:
    (project.root / "customers.csv").write_text(CUSTOMERS)
    return project


def spec(project: Project, lookup: str = "missing: null", source: str = "") -> None:
    project.spec(
        f"""
        {source or "read: {source: {type: jsonl, path: in.jsonl}}"}
        enrich:
          {"from: {stream: " + project.pipeline + "-in}" if source == "# outside" else "fuse: false"}
          lookup: {{table: customers.csv, key: n, by: id, fields: [name], {lookup}}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
        """,
        top="reclaim: {idle: 500ms}",
    )


def status(project: Project, server: StreamServer) -> dict[str, Any]:
    stages: dict[str, dict[str, Any]] = {one["name"]: one for one in status_of(project, server)["stages"]}
    return stages["enrich"]


@pytest.mark.parametrize(("missing", "out"), [("null", 40), ("drop", 10), ("reject", 10)])
def test_unknown_keys_are_listed_and_all_of_them_counted(
    project: Project, server: StreamServer, missing: str, out: int
) -> None:
    project.records([*range(40), 11, 11])
    spec(project, f"missing: {missing}")

    done = rsq_pipe("run", project.path, "--redis", server.url, "--json", cwd=project.root)

    stage = {stage["name"]: stage for stage in json.loads(done.stdout)["stages"]}["enrich"]
    assert done.returncode == (4 if missing == "reject" else 0), done.stderr
    found = status(project, server)["unknown"]
    assert found == stage["unknown"]
    assert sum(found.values()) == 32
    assert len(found) == 21
    assert found["11"] == 3
    assert found["other"] == 10
    assert stage["out"] == out + (2 if missing == "null" else 0)
    assert stage["dropped"] == (32 if missing == "drop" else 0)
    assert stage["dead"] == (32 if missing == "reject" else 0)
    shown = rsq_pipe("status", project.path, "--redis", server.url, cwd=project.root).stdout
    assert "enrich found nothing for: other (10), 11 (3), " in shown


def test_a_dead_letter_of_an_unknown_key_goes_through_once_the_table_has_it(
    project: Project, server: StreamServer
) -> None:
    project.records([1, 99])
    spec(project, "missing: reject")
    rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)
    with (project.root / "customers.csv").open("a") as file:
        file.write("99,late\n")

    replayed = rsq_pipe("dlq", "replay", project.path, "--redis", server.url, "--yes", cwd=project.root)
    done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert done.returncode == 0, replayed.stderr + done.stderr
    assert project.lines("out/all.jsonl") == [{"n": 1, "name": "name 1"}, {"n": 99, "name": "late"}]


def test_a_broken_table_ends_the_run_with_its_line(project: Project, server: StreamServer) -> None:
    project.records([1])
    spec(project)
    (project.root / "customers.csv").write_text("id,name\n1,a\n1,b\n")

    done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert done.returncode == 1
    assert "customers.csv:3: id '1' is already in line 2" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_table_changes_under_a_run_and_a_broken_one_leaves_the_old(
    project: Project, server: StreamServer
) -> None:
    spec(project, source="# outside")
    table = project.root / "customers.csv"
    client = StreamClient.from_url(server.url)
    stream = f"{project.pipeline}-in"
    process = start("run", project.path, "--redis", server.url, cwd=project.root)

    async def names(number: int) -> str:
        before = len(project.lines_so_far())
        await client.push(stream, b'{"n": %d}' % number)
        eventually(lambda: len(project.lines_so_far()) > before)
        last: dict[str, str] = json.loads(project.lines_so_far()[-1])
        return last["name"]

    try:
        assert await names(1) == "name 1"
        table.write_text("id,name\n1,half")
        table.write_text("id,name\n1,half\n2")
        stale = eventually(lambda: status(project, server)["stale"])
        assert stale["why"] == "customers.csv:3: 1 field where the header has 2"
        assert await names(1) == "name 1"
        shown = rsq_pipe("status", project.path, "--redis", server.url, cwd=project.root).stdout
        assert "enrich works with an old table for " in shown
        new = table.with_suffix(".new")
        new.write_text("id,name\n1,new\n")
        new.replace(table)
        eventually(lambda: status(project, server)["stale"] is None)
        assert await names(1) == "new"
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)
        await client.channel.execute("DEL", stream, key=stream)
        await client.close()
    assert process.returncode == 0, err
    assert "the table has changed and cannot be used; going on with the old one" in err
    assert "the table can be used again" in err


@pytest.mark.timeout(120)
async def test_kills_neither_lose_nor_double_a_record_nor_an_unknown_key(
    project: Project, server: StreamServer
) -> None:
    draw = random.Random(7)
    count = 20_000
    project.records(n % 25 for n in range(count))
    spec(project)
    client = StreamClient.from_url(server.url)
    meta = f"{{{project.pipeline}}}:meta"

    async def settled() -> int:
        return int(await client.channel.execute("HGET", meta, "enrich:in", key=meta) or 0)

    processes = [start("run", project.path, "--redis", server.url, cwd=project.root) for _ in range(2)]
    in_the_middle = 0
    try:
        for _ in range(5):
            before = await settled()
            async with asyncio.timeout(PATIENCE):
                now = before
                while now == before < count:
                    now = await settled()
            in_the_middle += now < count
            victim = draw.randrange(2)
            processes[victim].kill()
            processes[victim].communicate()
            processes[victim] = start("run", project.path, "--redis", server.url, cwd=project.root)
        for process in processes:
            _, err = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, err
    finally:
        for process in processes:
            process.kill()
            process.communicate()
        await client.close()

    assert in_the_middle >= 3
    numbers = Counter(line["n"] for line in project.lines("out/all.jsonl"))
    assert numbers == Counter(n % 25 for n in range(count))
    stage = status(project, server)
    assert stage["unknown"] == {str(n): count // 25 for n in range(10, 25)}
    assert stage["counters"]["out"] == count
