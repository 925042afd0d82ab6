"""(d) How long a record takes through three stages, at a steady rate.

A producer timestamps each order and pushes it; a reader that blocks on the last stream stops the clock. Both
are in one process, the three stages in another, with the default settings: batches of up to 100 for
redis-stream-queue, of up to 500 for rsq-pipe.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import redis.asyncio as aioredis

from benchmarks import orders, ours
from benchmarks.harness import ROOT, Harness, command
from benchmarks.measure import Figures, holds
from benchmarks.program import Program

PEER = "redis-stream-queue"
STREAMS = [f"latency-{number}" for number in range(4)]
WARM = 200


def pipeline(url: str, rate: int, seconds: float, *, fuse: bool | None = None) -> Figures:
    with tempfile.TemporaryDirectory(prefix="rsq-") as name:
        folder = Path(name)
        defaults = {} if fuse is None else {"defaults": {"fuse": fuse}}
        spec = ours.project(folder, "latency", ours.three_calls(STREAMS[0], STREAMS[-1]), **defaults)
        return _measured(Program(ours.run_command(spec, url), folder), url, rate, seconds)


def queue(url: str, rate: int, seconds: float) -> Figures:
    with tempfile.TemporaryDirectory(prefix="rsq-") as name:
        program = [sys.executable, "-m", "benchmarks.peers", "serve", url, *STREAMS]
        process = Program(program, Path(name), {"PYTHONPATH": str(ROOT)})
        return _measured(process, url, rate, seconds)


def _measured(process: Program, url: str, rate: int, seconds: float) -> Figures:
    try:
        return asyncio.run(_load(process, url, rate, seconds))
    finally:
        process.stop()


async def _load(process: Program, url: str, rate: int, seconds: float) -> Figures:
    total = int(rate * seconds)
    orders.push(url, STREAMS[0], WARM)
    async with aioredis.Redis.from_url(url) as writer, aioredis.Redis.from_url(url) as reader:
        await holds(writer.xlen, STREAMS[-1], WARM, process.has_ended)
        reading = asyncio.ensure_future(_read(reader, total))
        late = await _push(writer, rate, total)
        try:
            taken = await asyncio.wait_for(reading, 60)
        except TimeoutError:
            raise process.error(f"not all of {total} records came through at {rate}/s") from None
    cuts = statistics.quantiles(taken, n=100)
    return {"p50 ms": 1000 * cuts[49], "p99 ms": 1000 * cuts[98], "pushed late ms": 1000 * late}


async def _push(client: aioredis.Redis, rate: int, total: int) -> float:
    """Push orders when they are due; return the longest delay: the producer's own share of the figures."""
    began, pushed, late = time.perf_counter(), 0, 0.0
    while pushed < total:
        now = time.perf_counter() - began
        due = min(total, int(now * rate) + 1)
        if due > pushed:
            late = max(late, now - pushed / rate)
            pipeline = client.pipeline(transaction=False)
            for number in range(pushed, due):
                record = {**orders.order(number), "pushed": time.perf_counter()}
                pipeline.xadd(STREAMS[0], {"data": orders.encoded(record)})
            await pipeline.execute()
            pushed = due
        await asyncio.sleep(max(0.0, began + pushed / rate - time.perf_counter()))
    return late


async def _read(client: aioredis.Redis, total: int) -> list[float]:
    """Read the last stream until all records are there; both times are of one process, so clocks agree."""
    taken: list[float] = []
    last: bytes | str = "0-0"
    while len(taken) < total:
        found: Any = await client.xread({STREAMS[-1]: last}, block=1000, count=1000)
        now = time.perf_counter()
        for _, entries in found.items() if isinstance(found, dict) else found:
            for _, fields in entries:
                with suppress(KeyError):  # one of those that warmed up the stages
                    taken.append(now - json.loads(fields[b"data"])["pushed"])
            last = entries[-1][0]
    return taken


def main(harness: Harness) -> None:
    # Fewer of the 5,000/s: whoever cannot keep up has a growing queue, and 60 s to finish it.
    for rate, seconds in [(1_000, 1)] if harness.options.quick else [(1_000, 20), (5_000, 10)]:
        harness.turns(
            f"latency-{rate}",
            f"(d) {rate:,} orders/s for {seconds} s through three call stages, from push to arrival",
            {
                PEER: partial(queue, harness.url, rate, seconds),
                "rsq-pipe": partial(pipeline, harness.url, rate, seconds),
                "rsq-pipe, fused": partial(pipeline, harness.url, rate, seconds, fuse=True),
            },
            base=PEER,
            compared=("p50 ms", "p99 ms"),
        )


if __name__ == "__main__":
    command(main, __doc__)
