"""Several processes write one table of PostgreSQL: each record once, whoever is killed or paused."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rsq_pipe.streams.client import StreamClient
from tests.support.command_line import rsq_pipe, start
from tests.support.postgres import PostgresServer
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import wait_until

COUNT = 20_000
STRIKES = int(os.environ.get("STRIKES", "8"))
SEED = int(os.environ.get("SEED", "5"))


def spec(project: Project, table: str, settings: str = "", writers: int = 3) -> None:
    project.spec(
        f"""
        read: {{source: {{type: jsonl, path: in.jsonl}}}}
        out: {{sink: {{type: postgres, dsn: "${{secret:PG}}", table: {table}, writers: {writers}{settings}}}}}
        """,
        top="""
        reclaim: {idle: 300ms}
        max_backlog: 400
        """,
    )


def children(parent: int) -> list[int]:
    """List the processes that a process started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, its_parent = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(its_parent) == parent and state not in "ZX":
            found.append(int(path.parent.name))
    return sorted(found)


@asynccontextmanager
async def settled(server: StreamServer, project: Project) -> AsyncIterator[Callable[[int], Awaitable[int]]]:
    """Give what waits until so many records more are settled, or all."""
    async with StreamClient.from_url(f"unix://{server.socket}") as client:
        meta = f"{{{project.pipeline}}}:meta"

        async def now() -> int:
            return int(await client.channel.execute("HGET", meta, "out:in", key=meta) or 0)

        async def more(records: int) -> int:
            aim = min(COUNT, await now() + records)

            async def there() -> bool:
                return await now() >= aim

            await wait_until(there, timeout=60, what=f"{aim} records settled")
            return await now()

        yield more


@pytest.mark.timeout(200)
@pytest.mark.chaos
async def test_processes_that_are_killed_and_paused_lose_and_double_nothing(
    server: StreamServer, postgres: PostgresServer, project: Project, table: str
) -> None:
    draw = random.Random(SEED)
    project.records(range(COUNT))
    spec(project, table)
    postgres.execute(f"create table {table} (n int)")
    words = ("run", project.path, "--redis", server.url, "--processes", "3")
    kills = pauses = 0

    run = start(*words, cwd=project.root, PG=postgres.dsn)
    try:
        async with settled(server, project) as more:
            at = await more(1)
            # Not in the last moments: who is to be struck may have ended.
            while at < COUNT - 1_000 and kills + pauses < STRIKES:
                victim = draw.choice(await wait_until(lambda: children(run.pid), what="a process to strike"))
                if draw.random() < 0.6:
                    os.kill(victim, signal.SIGKILL)
                    kills += 1
                    at = await more(draw.randint(1, 1_500))
                    continue
                os.kill(victim, signal.SIGSTOP)
                pauses += 1
                # What it has in hand is taken over and written before it wakes.
                at = await more(draw.randint(800, 1_500))
                os.kill(victim, signal.SIGCONT)
        _, err = await asyncio.to_thread(run.communicate, timeout=90)
    finally:
        for one in (*children(run.pid), run.pid):
            os.kill(one, signal.SIGKILL) if run.poll() is None else None
        run.communicate()

    print(f"seed {SEED}: {kills} kills, {pauses} pauses")
    assert run.returncode == 0, err
    assert kills + pauses >= min(STRIKES, 4)
    assert postgres.execute(f"select count(*), count(distinct n) from {table}") == [(COUNT, COUNT)]
    wrote = postgres.execute(
        f"select count(*) from rsq_pipe_ledger where pipeline = '{project.pipeline}' and seq > 0"
    )
    assert wrote[0][0] > 1


def test_each_start_from_nothing_and_each_number_of_writers_leaves_each_record_once(
    server: StreamServer, postgres: PostgresServer, project: Project, table: str
) -> None:
    project.records(range(500))
    postgres.execute(f"create table {table} (n int)")
    counts = []
    for writers, fresh in [(3, False), (3, True), (1, True), (2, False), (3, True)]:
        spec(project, table, ", fresh: empty", writers=writers)
        project.records(range(500, 700))
        run = ("run", project.path, "--redis", server.url, "--processes", "3")
        done = rsq_pipe(*run, *["--fresh"] * fresh, cwd=project.root, PG=postgres.dsn)
        assert done.returncode == 0, done.stderr
        counts.append(postgres.execute(f"select count(*) from {table}")[0][0])

    assert counts == [700, 900, 1100, 1300, 1500]
