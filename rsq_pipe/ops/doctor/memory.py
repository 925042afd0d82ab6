"""Memory: whether the server evicts records when full, and how soon it will be full."""

from __future__ import annotations

from collections.abc import Iterator

from rsq_pipe.ops.doctor.facts import Facts, Finding
from rsq_pipe.spec.graph import Graph

_MIB = 1 << 20
_ENTRY = 1_024
"""Assumed bytes of an entry: a small JSON record with its headers."""

_SMALL = 64 * _MIB
"""Assumed bytes of a pipeline if no spec shows how many streams it has."""


def judge_memory(facts: Facts, graph: Graph | None) -> Iterator[Finding]:
    """Judge maxmemory and its policy."""
    policy = facts.setting("maxmemory-policy")
    limit = int(facts.setting("maxmemory") or 0)
    if not policy:
        yield Finding(
            *("maxmemory-policy", "note", "the server does not say what it does when it is full"),
            "whether it evicts records is not known; it must be noeviction; ask its operator",
        )
        return
    yield _policy(policy, limit)
    yield from _limit(facts, limit, graph)


def _policy(policy: str, limit: int) -> Finding:
    seen = f"maxmemory-policy {policy}, maxmemory {_spelled(limit) if limit else 'not set'}"
    mend = "CONFIG SET maxmemory-policy noeviction, and in redis.conf: maxmemory-policy noeviction"
    if policy == "noeviction":
        return Finding(
            *("maxmemory-policy", "ok", seen),
            "a full server refuses new records and the sources wait; settling goes on, so it empties again",
        )
    if not limit:
        return Finding(
            *("maxmemory-policy", "warning", seen),
            "nothing is evicted while maxmemory is not set; the day somebody sets it, records are",
            mend,
        )
    if policy.startswith("volatile-"):
        return Finding(
            *("maxmemory-policy", "problem", seen),
            "a full server evicts keys that expire. Streams do not, but the leases of sources and sinks do: "
            "two processes may then work on one file, and one of them ends with an error",
            mend,
        )
    return Finding(
        *("maxmemory-policy", "problem", seen),
        "a full server evicts whole streams: records, dead letters and positions are lost, without a trace",
        mend,
    )


def _limit(facts: Facts, limit: int, graph: Graph | None) -> Iterator[Finding]:
    used = facts.number("used_memory")
    if not limit:
        yield Finding(
            *("maxmemory", "note", f"maxmemory is not set; {_spelled(used)} in use"),
            "a backlog is bounded by `max_backlog`, dead letters are not; if its machine runs out of memory, "
            "the system kills the server",
            "in redis.conf: maxmemory, to about three quarters of the machine's",
        )
        return
    seen = f"{_spelled(used)} of {_spelled(limit)} in use"
    need = _need(graph)
    if used >= limit:
        yield Finding(
            *("maxmemory", "problem", seen),
            "the server is full: sources wait, and nothing new enters until stages or an operator make room",
            "CONFIG SET maxmemory to more, or `rsq-pipe dlq purge` what is no longer needed",
        )
    elif used > limit * 0.8 or limit - used < need:
        yield Finding(
            *("maxmemory", "warning", f"{seen}; full streams of this pipeline need about {_spelled(need)}"),
            "a backlog that grows fills the server before `max_backlog` slows the sources: these wait then, "
            "and so does everybody else who uses the server",
            f"CONFIG SET maxmemory {(used + 2 * need) // _MIB + 1}mb, or a smaller `max_backlog` in the spec",
        )
    else:
        yield Finding("maxmemory", "ok", seen, "full streams of this pipeline fit")


def _need(graph: Graph | None) -> int:
    if graph is None:
        return _SMALL
    streams = {ref for stage in graph.stages for ref in stage.inputs}
    return max(1, len(streams)) * graph.max_backlog * _ENTRY


def _spelled(size: int) -> str:
    """Format bytes as redis.conf does."""
    for unit, factor in (("gb", 1 << 30), ("mb", _MIB), ("kb", 1 << 10)):
        if size >= factor:
            return f"{round(size / factor, 1):g}{unit}"
    return f"{size}b"
