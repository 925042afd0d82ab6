"""What the doctor concludes from what it saw."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from rsq_pipe.ops.doctor.facts import Facts, Finding
from rsq_pipe.ops.doctor.memory import judge_memory
from rsq_pipe.ops.doctor.persistence import judge_persistence
from rsq_pipe.ops.doctor.replication import judge_replication
from rsq_pipe.ops.doctor.timing import judge_timing
from rsq_pipe.ops.doctor.version import judge_version


def facts(
    info: dict[str, str] | None = None,
    settings: dict[str, str] | None = None,
    *,
    skew: float | None = 0.0,
    round_trip: float = 0.0001,
    is_cluster_client: bool = False,
) -> Facts:
    return Facts("db:6379", is_cluster_client, "default", info or {}, settings or {}, skew, [round_trip] * 3)


def levels(findings: Iterable[Finding]) -> dict[str, str]:
    return {finding.check: finding.level for finding in findings}


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"redis_version": "6.2.14"}, {"version": "problem"}),
        ({"redis_version": "8.4.0"}, {"version": "ok"}),
        ({"redis_version": "8.2.2"}, {"version": "ok"}),
        ({"redis_version": "8.2.1"}, {"version": "ok", "defect": "warning"}),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, {"version": "ok"}),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.4"}, {"version": "ok"}),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.1"}, {"version": "ok", "defect": "warning"}),
        ({"redis_version": "7.4.0", "dragonfly_version": "df-v1.30.0"}, {"version": "warning"}),
        ({}, {"version": "warning"}),
    ],
    ids=str,
)
def test_a_server_is_judged_by_its_own_version(info: dict[str, str], expected: dict[str, str]) -> None:
    assert levels(judge_version(facts(info))) == expected


@pytest.mark.parametrize(
    ("user", "said"), [("runs", "user 'runs' may not run INFO"), ("", "this user may not")]
)
def test_a_user_who_may_not_ask_for_the_version_is_named_where_known(user: str, said: str) -> None:
    (finding,) = judge_version(replace(facts({}), user=user))

    assert finding.seen.startswith(said)


def test_each_defect_of_a_version_is_told_with_its_source_and_the_versions_without_it() -> None:
    defects = [f for f in judge_version(facts({"redis_version": "7.0.3"})) if f.check == "defect"]

    assert [finding.level for finding in defects] == ["problem", "note", "warning"]
    assert all("https://github.com/" in finding.seen for finding in defects)
    assert defects[0].mend == "update to 7.0.4 or newer"


@pytest.mark.parametrize(
    ("settings", "level"),
    [
        ({"appendonly": "yes", "appendfsync": "always"}, "ok"),
        ({"appendonly": "yes", "appendfsync": "everysec"}, "ok"),
        ({"appendonly": "yes", "appendfsync": "no"}, "warning"),
        ({"appendonly": "yes"}, "note"),
        ({"appendonly": "no", "save": "3600 1"}, "warning"),
        ({"appendonly": "no", "save": ""}, "problem"),
        ({}, "note"),
    ],
    ids=str,
)
def test_persistence_is_judged_by_what_a_restart_leaves(settings: dict[str, str], level: str) -> None:
    assert levels(judge_persistence(facts(settings=settings))) == {"persistence": level}


def test_persistence_is_read_from_info_where_config_is_refused() -> None:
    assert levels(judge_persistence(facts({"aof_enabled": "0"}))) == {"persistence": "problem"}


def test_a_disk_that_fails_is_a_problem_whatever_the_settings() -> None:
    info = {"aof_enabled": "1", "aof_last_write_status": "err"}

    found = levels(judge_persistence(facts(info, {"appendonly": "yes", "appendfsync": "always"})))

    assert found == {"persistence": "ok", "disk": "problem"}


@pytest.mark.parametrize(
    ("policy", "limit", "level"),
    [
        ("noeviction", "1073741824", "ok"),
        ("allkeys-lru", "1073741824", "problem"),
        ("volatile-ttl", "1073741824", "problem"),
        ("allkeys-lru", "0", "warning"),
    ],
)
def test_only_noeviction_is_safe(policy: str, limit: str, level: str) -> None:
    seen = facts({"used_memory": "1000"}, {"maxmemory-policy": policy, "maxmemory": limit})

    assert levels(judge_memory(seen, None))["maxmemory-policy"] == level


@pytest.mark.parametrize(
    ("used", "limit", "level"),
    [
        ("2000", "1000", "problem"),
        ("900", "1000", "warning"),
        ("1000", "1000000000", "ok"),
        ("1000", "0", "note"),
    ],
)
def test_memory_is_judged_by_what_is_left(used: str, limit: str, level: str) -> None:
    seen = facts({"used_memory": used}, {"maxmemory-policy": "noeviction", "maxmemory": limit})

    assert levels(judge_memory(seen, None))["maxmemory"] == level


@pytest.mark.parametrize(
    ("info", "waits", "expected"),
    [
        ({"role": "master", "connected_slaves": "0"}, "0", {"replicas": "note"}),
        ({"role": "master", "connected_slaves": "1"}, "0", {"replicas": "warning"}),
        ({"role": "master", "connected_slaves": "1"}, "1", {"replicas": "ok"}),
        ({"role": "master", "connected_slaves": "1"}, "2", {"replicas": "problem"}),
        ({"role": "slave", "master_host": "db", "master_port": "6379"}, "0", {"role": "problem"}),
        ({"role": "master", "cluster_enabled": "1"}, "0", {"replicas": "note", "cluster": "problem"}),
    ],
    ids=str,
)
def test_replication_is_judged_by_what_a_failover_loses(
    info: dict[str, str], waits: str, expected: dict[str, str]
) -> None:
    assert levels(judge_replication(facts(info, {"min-replicas-to-write": waits}))) == expected


def test_a_replica_names_its_primary_as_the_address_to_use() -> None:
    seen = facts({"role": "slave", "master_host": "db", "master_port": "6380"})

    assert [finding.mend for finding in judge_replication(seen)] == ["--redis redis://db:6380"]


@pytest.mark.parametrize(("skew", "level"), [(0.2, "ok"), (-90.0, "warning"), (3.0, "warning")])
def test_clocks_that_differ_are_told(skew: float, level: str) -> None:
    assert levels(judge_timing(facts(skew=skew)))["clock"] == level


def test_a_long_way_to_the_server_says_what_it_costs() -> None:
    (latency,) = [f for f in judge_timing(facts(round_trip=0.02)) if f.check == "latency"]

    assert (latency.level, latency.seen[:14]) == ("warning", "median 20.00ms")
    assert "at most 25 batches a second" in latency.guarantee


def test_connections_that_run_out_are_told() -> None:
    seen = facts({"connected_clients": "95", "maxclients": "100"})

    assert levels(judge_timing(seen))["connections"] == "warning"


@pytest.mark.parametrize(
    ("free", "level"), [(None, None), (1 << 30, None), (10 << 20, "warning"), (28 << 10, "problem")]
)
def test_a_disk_that_is_nearly_full_is_told_before_the_server_refuses_to_write(
    free: int | None, level: str | None
) -> None:
    seen = replace(facts(settings={"appendonly": "yes", "dir": "/srv/.rsq"}), free=free)
    found = {finding.check: finding for finding in judge_persistence(seen)}

    assert ("disk" in found) is (level is not None)
    if level is not None:
        assert (found["disk"].level, "/srv/.rsq" in found["disk"].seen) == (level, True)
