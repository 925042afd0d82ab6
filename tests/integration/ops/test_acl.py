"""The users that `rsq-pipe acl` prints do all that is documented, and nothing beside."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from rsq_pipe.ops.doctor.checkup import examine
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.client import StreamClient
from tests.support.cluster import Cluster
from tests.support.command_line import rsq_pipe, start
from tests.support.project import Project
from tests.support.server import StreamServer, binaries
from tests.support.signals import PATIENCE, eventually

BINARIES = binaries()

STAGES = """
    read: {from: {stream: "in [1]*"}, filter: "n >= 0"}
    halve: {map: {half: "10 // n"}}
    once: {dedupe: {key: [n, half], within: 1h, max_keys: 100000, evict: oldest}}
    out: {sink: {type: jsonl, path: out.jsonl}}
    share: {from: halve, map: {shared: true}, to: {stream: orders-out}}
    take: {source: {type: jsonl, path: in.jsonl}, to: {stream: orders-out}}
"""
FORBIDDEN = (
    *("CONFIG GET requirepass", "CONFIG SET maxmemory 1", "FUNCTION LIST", "FUNCTION FLUSH"),
    *(
        "SCRIPT FLUSH",
        "SCRIPT KILL",
        "SCRIPT LOAD 'return 1'",
        "CLIENT UNBLOCK 1",
        "CLIENT LIST",
        "CLIENT KILL ID 1",
    ),
    *("FLUSHALL", "KEYS *", "ACL LIST", "SHUTDOWN NOSAVE", "SUBSCRIBE news", "SAVE"),
    *("PUBLISH news 1", "REPLICAOF NO ONE", "SWAPDB 0 1", "SELECT 1"),
    *("XADD other * n 1", "GET {others}:meta", "XLEN 'in 1'", "EVAL 'return 1' 1 other"),
)


@pytest.fixture(params=BINARIES)
def binary(request: pytest.FixtureRequest) -> Path:
    return BINARIES[request.param]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project", "orders")
    project.spec(STAGES)
    project.records([7])
    return project


@pytest.fixture
async def admin(own_server: StreamServer) -> AsyncIterator[StreamClient]:
    async with StreamClient.from_url(own_server.url) as client:
        yield client


def printed(project: Project, *options: str) -> list[str]:
    done = rsq_pipe("acl", project.path, *options, cwd=project.root)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


async def made(admin: StreamClient, lines: list[str]) -> None:
    for line in lines:
        await admin.channel.execute(*line.replace(">PASSWORD", ">pw").split(), key="x")


async def test_the_printed_users_run_a_pipeline_and_look_after_it(
    own_server: StreamServer, admin: StreamClient, project: Project
) -> None:
    await made(admin, printed(project))
    for number in (1, 0):  # the second becomes a dead letter
        await admin.push("in [1]*", f'{{"n": {number}}}')
    run, operate = (address(own_server, user) for user in ("orders", "orders-operate"))

    said = ran(project, run)
    said += lookings(project, operate, "status --json", "trace 'in [1]*:0-1'", "dlq show")
    said += lookings(project, operate, "dlq replay --yes", "dlq purge --yes")
    said += ran(project, operate, "--fresh")

    assert "NOPERM" not in said
    assert await admin.channel.execute("XLEN", "orders-out", key="x") == 4


def ran(project: Project, url: str, *options: str) -> str:
    """Run the pipeline, which has no end, until a record is written; what it says."""
    (project.root / "out.jsonl").unlink(missing_ok=True)
    lasting = start("run", project.path, *options, "--redis", url, cwd=project.root)
    try:
        eventually(
            lambda: len(project.lines_so_far("out.jsonl")) == 1, timeout=20, what="a record is written"
        )
    finally:
        lasting.terminate()
        _, said = lasting.communicate(timeout=PATIENCE)
    assert lasting.returncode in (0, 4), said
    return said


def lookings(project: Project, url: str, *lines: str) -> str:
    """Call commands, which must not fail for want of a right; all they say."""
    said = ""
    for line in lines:
        words = shlex.split(line)
        words.insert(2 if words[0] == "dlq" else 1, str(project.path))
        done = rsq_pipe(*words, "--redis", url, cwd=project.root)
        assert done.returncode in (0, 1, 4), (line, done.stderr)
        said += done.stdout + done.stderr
    return said


async def test_the_doctor_finds_no_problem_with_either_user(
    own_server: StreamServer, admin: StreamClient, project: Project
) -> None:
    await made(admin, printed(project))

    for user, rights in (("orders", "note"), ("orders-operate", "ok")):
        async with StreamClient.from_url(own_server.tcp_url, username=user, password="pw") as client:
            findings = await examine(client, load(project.path))
        assert [finding for finding in findings if finding.level == "problem"] == []
        assert rights in {finding.level for finding in findings if finding.check == "rights"}


@pytest.mark.parametrize("user", ["orders", "orders-operate"])
async def test_the_server_is_reached_as_either_user(
    own_server: StreamServer, admin: StreamClient, project: Project, user: str
) -> None:
    await made(admin, printed(project))
    words = ("validate", "--connect", project.path, "--redis", address(own_server, user))

    done = rsq_pipe(*words, cwd=project.root)

    assert "FAILED" not in done.stdout
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("user", ["orders", "orders-operate"])
async def test_the_printed_users_may_do_nothing_else(
    own_server: StreamServer, admin: StreamClient, project: Project, user: str
) -> None:
    await made(admin, printed(project))
    only_operate = (
        *("SCAN 0", "INFO", "XDEL orders-out 0-1"),
        *("XGROUP SETID orders-out probe 0", "RENAME {orders}:out:dlq {orders}:taken:dlq"),
    )

    async with StreamClient.from_url(own_server.tcp_url, username=user, password="pw") as client:
        for line in (*FORBIDDEN, *(only_operate if user == "orders" else ())):
            (reply,) = await client.channel.exchange([shlex.split(line)], key="x")
            assert isinstance(reply, ResponseError), line
            assert "permissions" in str(reply), (line, str(reply))


async def test_the_lines_of_the_file_are_read_by_a_server(
    project: Project, binary: Path, tmp_path: Path
) -> None:
    file = tmp_path / "users.acl"
    file.write_text(
        "user default on nopass ~* &* +@all\n" + "\n".join(printed(project, "--format", "file")) + "\n"
    )

    with StreamServer(binary, tcp=True, config={"aclfile": str(file)}) as server:
        async with StreamClient.from_url(server.tcp_url, username="orders", password="PASSWORD") as client:
            assert await client.channel.execute("HGET", "{orders}:meta", "spec", key="{orders}:meta") is None


async def test_a_cluster_takes_the_users_printed_for_a_cluster(project: Project, binary: Path) -> None:
    async with Cluster(binary) as cluster:
        lines = printed(project, "--redis", cluster.url)
        for node in range(len(cluster.nodes)):
            for line in lines:
                await cluster.ask(node, *line.split())
        url = cluster.url.replace("//", "//orders:PASSWORD@")
        project.spec(
            "read: {source: {type: jsonl, path: in.jsonl}}\nout: {sink: {type: jsonl, path: out.jsonl}}"
        )

        done = rsq_pipe("run", project.path, "--redis", url, cwd=project.root)

    assert done.returncode == 0, done.stderr
    assert project.numbers() == [7]


def test_a_name_may_be_given_and_a_database_asks_for_select(project: Project) -> None:
    run, operate = printed(project, "--user", "shop", "--redis", "redis://db/2")

    assert (run.split()[:3], operate.split()[:3]) == (
        ["ACL", "SETUSER", "shop"],
        ["ACL", "SETUSER", "shop-operate"],
    )
    assert run.endswith(" +select")


def address(server: StreamServer, user: str) -> str:
    return server.tcp_url.replace("//", f"//{user}:pw@")
