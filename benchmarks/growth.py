"""(e) Whether a record costs more when many are waiting, or when another consumer has many in flight.

The rate is that of the last four fifths of the records, so that the start of the pipeline is excluded.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import redis

from benchmarks import orders, ours
from benchmarks.harness import Harness, command
from benchmarks.measure import Figures
from benchmarks.runner_here import run_here

SOURCE, TARGET = "growth-in", "growth-out"
STAGES = {"one": {"from": {"stream": SOURCE}, "call": "handlers:touch", "to": {"stream": TARGET}}}
GROUP = "one"  # a stage reads through a group of its name


def backlog(url: str, total: int) -> Figures:
    orders.push(url, SOURCE, total)
    return _drained(url, total)


def pending(url: str, total: int, others: int) -> Figures:
    """Deliver so many records to another consumer, which keeps them, and measure the records after them."""
    orders.push(url, SOURCE, others)
    with redis.Redis.from_url(url) as client:
        client.xgroup_create(SOURCE, GROUP, id="0", mkstream=True)
        for _ in range(0, others, 1000):
            client.xreadgroup(GROUP, "another", {SOURCE: ">"}, count=1000)
    orders.push(url, SOURCE, total)
    figures = _drained(url, total)
    with redis.Redis.from_url(url) as client:
        kept = client.xpending(SOURCE, GROUP)["pending"]
    assert kept == others, f"another consumer had {others} records, and has {kept} now: they were taken over"
    return figures


def _drained(url: str, total: int) -> Figures:
    with tempfile.TemporaryDirectory(prefix="rsq-") as folder:
        spec = ours.project(Path(folder), "growth", STAGES, max_backlog=ours.ROOM, reclaim={"idle": "1h"})
        return run_here(spec, url, TARGET, total, first=total // 5)


def main(harness: Harness) -> None:
    sizes = (1_000, 3_000) if harness.options.quick else (10_000, 100_000, 1_000_000)
    harness.turns(
        "growth-backlog",
        "(e) one call stage, stream to stream: records waiting at the start",
        {f"{size:,} wait": partial(backlog, harness.url, size) for size in sizes},
        base=f"{sizes[0]:,} wait",
    )
    total, others = harness.options.size(100_000, 3_000), harness.options.size(100_000, 3_000)
    harness.turns(
        "growth-pending",
        f"(e) {total:,} records through one call stage: what another consumer of its group has in flight",
        {
            "nothing": partial(pending, harness.url, total, 0),
            f"{others:,} records": partial(pending, harness.url, total, others),
        },
        base="nothing",
    )


if __name__ == "__main__":
    command(main, __doc__)
