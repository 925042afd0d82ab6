"""All benchmarks, one after another, on one server: `python -m benchmarks`, `make bench`."""

from __future__ import annotations

from benchmarks import (
    connectors,
    dedupe,
    delays,
    expressions,
    files,
    flights,
    growth,
    hops,
    idle,
    joins,
    latency,
    lookups,
    memory,
    shapes,
    sql,
    startup,
    tracing,
    verbs,
    way,
)
from benchmarks.harness import Harness, command

BENCHMARKS = (
    hops,
    files,
    flights,
    delays,
    latency,
    growth,
    memory,
    tracing,
    idle,
    startup,
    connectors,
    expressions,
    lookups,
    dedupe,
    joins,
    shapes,
    sql,
    verbs,
    way,
)


def main(harness: Harness) -> None:
    for benchmark in BENCHMARKS:
        benchmark.main(harness)


if __name__ == "__main__":
    command(main, __doc__)
