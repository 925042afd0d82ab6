"""The doctor on servers that are broken in different ways, and on healthy ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rsq_pipe.ops.doctor.checkup import examine
from rsq_pipe.ops.doctor.facts import Finding
from rsq_pipe.ops.doctor.rights import probe
from rsq_pipe.ops.rights import NEEDS
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.client import StreamClient
from tests.support.project import Project
from tests.support.server import StreamServer, binaries
from tests.support.signals import wait_until

BINARIES = binaries()


@pytest.fixture(params=BINARIES)
def binary(request: pytest.FixtureRequest) -> Path:
    return BINARIES[request.param]


@pytest.fixture
async def admin(own_server: StreamServer) -> AsyncIterator[StreamClient]:
    async with StreamClient.from_url(own_server.url) as client:
        yield client


@contextmanager
def running(binary: Path, **config: str) -> Iterator[StreamServer]:
    settings = {name.replace("_", "-"): value for name, value in config.items()}
    with StreamServer(binary, tcp=True, config=settings) as server:
        yield server


async def examined(url: str, **settings: str) -> dict[str, list[Finding]]:
    """Examine a server; findings by level, without those of its version: distributions differ in these."""
    async with StreamClient.from_url(url, **settings) as client:
        findings = await examine(client)
    levels: dict[str, list[Finding]] = {"problem": [], "warning": []}
    for finding in findings:
        if finding.check != "defect":
            levels.setdefault(finding.level, []).append(finding)
    return levels


def checks(findings: list[Finding]) -> list[str]:
    return [finding.check for finding in findings]


async def test_a_healthy_server_has_no_problem_and_no_warning(binary: Path) -> None:
    with running(binary, appendonly="yes", maxmemory="1gb", maxmemory_policy="noeviction") as server:
        found = await examined(server.tcp_url)

    assert (found["problem"], found["warning"]) == ([], [])
    expected = {
        "version",
        "persistence",
        "maxmemory-policy",
        "maxmemory",
        "rights",
        "scripts",
        "clock",
        "latency",
    }
    assert set(checks(found["ok"])) == expected


async def test_a_server_that_evicts_is_a_problem_with_its_mend(binary: Path) -> None:
    with running(binary, appendonly="yes", maxmemory="1gb", maxmemory_policy="allkeys-lru") as server:
        found = await examined(server.tcp_url)

    (problem,) = found["problem"]
    assert problem.check == "maxmemory-policy"
    assert "allkeys-lru" in problem.seen
    assert "records, dead letters and positions are lost" in problem.guarantee
    assert "maxmemory-policy noeviction" in problem.mend


async def test_no_persistence_and_little_memory_are_told_apart(binary: Path) -> None:
    with running(binary, appendonly="no", maxmemory="3mb", maxmemory_policy="noeviction") as server:
        found = await examined(server.tcp_url)

    assert checks(found["problem"]) == ["persistence"]
    assert checks(found["warning"]) == ["maxmemory"]
    assert "appendonly yes" in found["problem"][0].mend


async def test_a_full_server_is_a_problem(binary: Path) -> None:
    with running(binary, appendonly="yes", maxmemory="1kb", maxmemory_policy="noeviction") as server:
        found = await examined(server.tcp_url)

    assert checks(found["problem"]) == ["maxmemory"]


async def test_a_user_without_rights_is_told_which_and_what_fails(
    own_server: StreamServer, admin: StreamClient
) -> None:
    rules = ["on", ">pw", "~*", "+@all", "-evalsha", "-xautoclaim"]
    await admin.channel.execute("ACL", "SETUSER", "worker", *rules, key="x")

    found = await examined(own_server.tcp_url, username="worker", password="pw")

    assert [finding.mend for finding in found["problem"]] == [
        "ACL SETUSER worker +evalsha",
        "ACL SETUSER worker +xautoclaim",
    ]
    assert "no stage runs" in found["problem"][0].guarantee


async def test_each_command_that_is_refused_is_found(own_server: StreamServer, admin: StreamClient) -> None:
    rules = ["on", ">pw", "~*", "+multi", "+exec", "+discard"]
    await admin.channel.execute("ACL", "SETUSER", "worker", *rules, key="x")

    async with StreamClient.from_url(own_server.tcp_url, username="worker", password="pw") as client:
        rights = await probe(client, "{orders}:doctor")

    asked = {words.split()[0].lower() for need in NEEDS for words in need.commands}
    assert asked - set(rights.commands) == {"multi", "exec", "discard"}


async def test_the_mends_for_a_user_without_rights_make_a_healthy_user(
    own_server: StreamServer, admin: StreamClient
) -> None:
    await admin.channel.execute("ACL", "SETUSER", "worker", "on", ">pw", "+acl|whoami", key="x")

    for _ in range(3):  # first MULTI, then the commands, then the keys
        found = await examined(own_server.tcp_url, username="worker", password="pw")
        for finding in found["problem"]:
            words = finding.mend.partition(",")[0].split()
            await admin.channel.execute(*words, key="x")

    assert checks((await examined(own_server.tcp_url, username="worker", password="pw"))["problem"]) == []


async def test_trying_rights_runs_nothing(own_server: StreamServer, admin: StreamClient) -> None:
    await examined(own_server.url)

    assert await admin.channel.execute("DBSIZE", key="x") == 0
    stats = (await admin.channel.execute("INFO", "commandstats", key="x")).decode()
    assert "cmdstat_xadd" not in stats
    assert "cmdstat_incr:" not in stats


async def test_a_user_kept_from_keys_of_the_pipeline_and_from_outside_is_told_the_patterns(
    own_server: StreamServer, admin: StreamClient, tmp_path: Path
) -> None:
    spec = Project(tmp_path / "project", "orders").spec("read: {from: {stream: orders-in}, map: {m: n}}")
    await admin.channel.execute("ACL", "SETUSER", "worker", "on", ">pw", "~other*", "+@all", key="x")

    async with StreamClient.from_url(own_server.tcp_url, username="worker", password="pw") as client:
        problems = [finding for finding in await examine(client, load(spec)) if finding.level == "problem"]

    assert [finding.mend for finding in problems] == [
        "ACL SETUSER worker ~{orders}:*",
        "ACL SETUSER worker ~orders-in",
    ]


async def test_a_replica_is_a_problem_and_its_primary_lacks_the_bound_on_what_a_failover_loses(
    binary: Path,
) -> None:
    with running(binary, appendonly="yes") as primary, running(binary, appendonly="yes") as replica:
        async with StreamClient.from_url(replica.url) as client:
            await client.channel.execute("REPLICAOF", "127.0.0.1", primary.port, key="x")

        async def joined() -> bool:
            return checks((await examined(primary.url))["warning"]) == ["replicas"]

        await wait_until(joined, what="the replica is connected")
        found = await examined(replica.url)

    role = next(finding for finding in found["problem"] if finding.check == "role")
    assert role.mend == f"--redis redis://127.0.0.1:{primary.port}"
