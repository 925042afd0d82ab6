"""A changed file loses and doubles nothing, wherever the run that takes over what was left is killed."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.support.command_line import rsq_pipe, start
from tests.support.project import Project
from tests.support.server import StreamServer, binaries
from tests.support.signals import PATIENCE, eventually

pytestmark = pytest.mark.chaos

SEEDS = [int(seed) for seed in os.environ.get("CHAOS_CHANGE_SEEDS", "1").split()]
KILLS = 5
COUNT = 1_000
LAST = 70
"""The command after which a run is killed at the latest: by then it reads."""

STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    slow: {call: "handlers:slow"}
    add: {map: {k: "n + 1"}}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""
SLOW = 'slow: {call: "handlers:slow"}'
CHANGES = {
    "renamed": (
        STAGES.replace("read:", "load:").replace("slow:", "sluggish:").replace("out:", "write:"),
        ["--rename", "slow=sluggish", "--rename", "read=load", "--rename", "out=write"],
    ),
    "removed": (STAGES.replace(SLOW, ""), ["--discard", "slow"]),
    "added": (STAGES.replace("add:", 'mid: {filter: "n >= 0"}\n    add:'), []),
    "moved": (STAGES.replace(SLOW, "").replace("out:", f"{SLOW}\n    out:"), []),
    "changed": (STAGES.replace("handlers:slow", "handlers:other").replace("n + 1", "n + 2"), []),
}


@pytest.fixture
def server() -> Iterator[StreamServer]:
    with StreamServer(binaries()["valkey"]) as server:
        yield server


@pytest.fixture
def project(tmp_path: Path, name: str) -> Project:
    project = Project(tmp_path / "project", name)
    project.records(range(COUNT))
    project.handlers("""
        import os, time
        from rsq_pipe import Reject, Retry

        def slow(record):
            time.sleep(0.001)
            return other(record)

        def other(record):
            if record["n"] % 100 == 3:
                return Reject("three")
            if record["n"] % 100 == 7 and not os.path.exists("calm"):
                return Retry(after="300ms")
            return record
    """)
    return project


def interrupt(project: Project, server: StreamServer) -> None:
    """Leave backlog, entries in the hands of a killed process, retries and dead letters."""
    project.spec(STAGES)
    process = start("run", project.path, "--redis", server.url, cwd=project.root)
    eventually(lambda: len(project.lines_so_far()) > 100, what="records are through")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (project.root / "calm").touch()


def killed_after(number: int, server: StreamServer, project: Project, *options: str) -> None:
    """Begin a run, and kill it as soon as the server has had so many commands of it."""
    # The first of them comes once the process has started.
    with redis.Redis.from_url(server.url, socket_timeout=PATIENCE) as client, client.monitor() as seen:
        process = start("run", project.path, "--redis", server.url, *options, cwd=project.root)
        while number and process.poll() is None:
            number -= seen.next_command()["client_type"] != "lua"
        process.kill()
        process.communicate()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.timeout(300)
def test_a_changed_file_loses_and_doubles_nothing_wherever_its_first_runs_are_killed(
    project: Project, server: StreamServer, change: str, seed: int
) -> None:
    chance = random.Random(f"{seed} {change}")
    stages, options = CHANGES[change]
    interrupt(project, server)
    project.spec(stages)

    for _ in range(KILLS):
        killed_after(chance.randint(1, LAST), server, project, *options)
    done = rsq_pipe("run", project.path, "--redis", server.url, *options, cwd=project.root)

    assert done.returncode in (0, 4), done.stderr
    written = project.numbers("out/all.jsonl")
    kept = [json.loads(line) for file in exports(project) for line in file.read_text().splitlines()]
    dead = [letter["payload"]["n"] for letter in kept if letter["where"] == "dead"] + rejected(
        project, server
    )
    given_up = {line["payload"]["n"] for line in kept} | set(dead)
    assert len(written) == len(set(written))
    assert sorted({*written, *given_up}) == list(range(COUNT))
    assert not given_up & set(written)
    assert {n % 100 for n in dead} <= {3}
    if change != "removed":
        assert sorted(dead) == list(range(3, COUNT, 100))


def exports(project: Project) -> list[Path]:
    return list(project.root.glob("*-discarded-*.jsonl"))


def rejected(project: Project, server: StreamServer) -> list[int]:
    done = rsq_pipe("dlq", "export", project.path, "--redis", server.url, cwd=project.root)
    return [json.loads(line)["payload"]["n"] for line in done.stdout.splitlines()]
