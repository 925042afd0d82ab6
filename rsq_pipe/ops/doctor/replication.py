"""Replication: what a failover may lose, and whether this is the right server to talk to."""

from __future__ import annotations

from collections.abc import Iterator

from rsq_pipe.ops.doctor.facts import Facts, Finding


def judge_replication(facts: Facts) -> Iterator[Finding]:
    """Judge role, replicas and cluster mode."""
    if not facts.info:
        return
    if facts.info.get("role", "master") != "master":
        primary = f"{facts.info.get('master_host')}:{facts.info.get('master_port')}"
        yield Finding(
            *("role", "problem", f"{facts.address} is a replica of {primary}"),
            "a replica refuses writes: nothing runs, and the numbers of `status` lag behind",
            f"--redis redis://{primary}",
        )
    else:
        yield _replicas(facts)
    yield from _cluster(facts)


def _replicas(facts: Facts) -> Finding:
    count = facts.number("connected_slaves")
    waits = int(facts.setting("min-replicas-to-write") or 0)
    if count and "min-replicas-to-write" not in facts.settings:  # this user may not read settings
        return Finding(
            *("replicas", "note", f"{count} connected; the server does not say min-replicas-to-write"),
            "replication is asynchronous: how much a failover may lose is not known; ask its operator",
        )
    if not count and not waits:
        return Finding(
            *("replicas", "note", "no replicas"),
            "while the server is away the pipeline waits, and goes on when it is back; if its disk is lost, "
            "so is what was in flight",
        )
    if count and not waits:
        return Finding(
            *("replicas", "warning", f"{count} connected, min-replicas-to-write 0"),
            "replication is asynchronous: a failover may lose the last accepted records, or bring back ones "
            "that were settled. A primary cut off from its replicas goes on accepting what the failover "
            "then discards",
            "CONFIG SET min-replicas-to-write 1, and min-replicas-max-lag 10",
        )
    seen = f"{count} connected, min-replicas-to-write {waits}"
    if count < waits:
        return Finding(
            *("replicas", "problem", seen),
            "the server refuses every write (NOREPLICAS): stages and sources wait",
            "start the replicas that are missing",
        )
    lag = facts.setting("min-replicas-max-lag", "10")
    return Finding(
        *("replicas", "ok", seen),
        f"a primary that is cut off refuses writes after {lag}s; a failover may lose what it took until then",
    )


def _cluster(facts: Facts) -> Iterator[Finding]:
    clustered = facts.info.get("cluster_enabled") == "1"
    if clustered and not facts.is_cluster_client:
        yield Finding(
            *("cluster", "problem", f"{facts.address} is a node of a cluster, addressed as a single server"),
            "keys of other nodes are refused (MOVED), and a failover is not followed",
            f"--redis redis+cluster://{facts.address}",
        )
    elif clustered:
        yield Finding(
            *("cluster", "ok", "a cluster"),
            "all keys of a pipeline share one slot, so one node carries it and each hop stays one step",
        )
    elif facts.is_cluster_client:
        yield Finding(
            *("cluster", "problem", f"{facts.address} is not a cluster, but addressed as one"),
            "the layout of a cluster cannot be read from it",
            f"--redis redis://{facts.address}",
        )
