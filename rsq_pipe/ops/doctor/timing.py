"""Timing: clock differences, latency, and connections running out."""

from __future__ import annotations

from collections.abc import Iterator

from rsq_pipe.ops.doctor.facts import Facts, Finding

SKEW = 1.0
"""Seconds two clocks may differ before ages and traces look wrong."""

SLOW = 0.005
"""Seconds of a round trip above which it limits the speed of a stage: a batch needs two."""


def judge_timing(facts: Facts) -> Iterator[Finding]:
    """Judge clock and latency, and how many connections are left."""
    if facts.skew is not None:
        yield _clock(facts.skew)
    yield _latency(facts)
    yield from _connections(facts)


def _clock(skew: float) -> Finding:
    if abs(skew) < SKEW:
        return Finding(
            "clock", "ok", f"within {max(abs(skew), 0.001):.3f}s of ours", "waits in traces are right"
        )
    side = "ahead of" if skew > 0 else "behind"
    return Finding(
        *("clock", "warning", f"the server's clock is {abs(skew):,.1f}s {side} this machine's"),
        "nothing is lost or early: retries, leases and `keep` go by the server's clock alone. Times in "
        "traces and logs, taken here, do not fit those of entries",
        "run NTP (chrony, systemd-timesyncd) on both machines",
    )


def _latency(facts: Facts) -> Finding:
    median = facts.round_trips[len(facts.round_trips) // 2]
    slowest = facts.round_trips[-1]
    seen = f"median {median * 1000:.2f}ms, slowest {slowest * 1000:.2f}ms of {len(facts.round_trips)}"
    if median < SLOW:
        return Finding("latency", "ok", seen, "a batch costs about two round trips")
    return Finding(
        *("latency", "warning", seen),
        f"a stage handles at most {1 / (2 * median):,.0f} batches a second per worker, however fast its "
        "handler is",
        "run nearer to the server; or larger batches and more `workers`",
    )


def _connections(facts: Facts) -> Iterator[Finding]:
    used, most = facts.number("connected_clients"), facts.number("maxclients")
    if most and used > most * 0.8:
        yield Finding(
            *("connections", "warning", f"{used:,} of {most:,} connections in use"),
            "a process of a pipeline opens a few for each stage; if none is free it waits and tries again",
            f"CONFIG SET maxclients {most * 2}",
        )
