"""(a) Records through three stages, from stream to stream.

Orders are in a stream; each of three stages changes a field and passes them on; the clock stops when the last
stream holds them all. Each contender is one process. CPU time is that process's, and the server's (i).

Both ends hold one record per entry, as all contenders can read and write them. Between stages of one pipeline
rsq-pipe has packs instead; `packs` are the same three stages with a source before them that has ended, and a
sink after them that has not begun, so that both ends are streams of the pipeline itself.

    redis-stream-queue   0.1.3: handlers push to the next stream and return the ids; at least once
    FastStream           batches, and publishes in a pipeline
    rsq-pipe, streams    `fuse: false`: a stream between all stages; each hop exactly once
    rsq-pipe, fused      `fuse: true`: the three stages in one worker
    the same, packs      both, with many records per entry at both ends too
    bare commands        XREADGROUP, XADD, XACK from a socket, the bytes unread: what the server can do
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from redis.asyncio import Redis

from benchmarks import bare, files, orders, ours, peers
from benchmarks.harness import Harness, command
from benchmarks.measure import Figures, Stopwatch
from benchmarks.runner_here import run_here

PEER = "redis-stream-queue"


def pipeline(url: str, total: int, *, fuse: bool) -> Figures:
    with tempfile.TemporaryDirectory(prefix="rsq-") as folder:
        stages = ours.three_calls("hops-in", "hops-out")
        spec = ours.project(Path(folder), "hops", stages, max_backlog=ours.ROOM, defaults={"fuse": fuse})
        orders.push(url, "hops-in", total)
        figures = run_here(spec, url, "hops-out", total)
        orders.check(url, "hops-out", 3)
        return figures


def between(url: str, folder: Path, total: int, *, fuse: bool) -> Figures:
    """Run the three stages between a source that has ended and a sink that has not begun."""
    stages = {
        "read": {"source": {"type": "jsonl", "path": str(folder / "orders.jsonl")}},
        **ours.CALLS,
        "write": {"sink": {"type": "jsonl", "path": "out.jsonl"}},
    }
    spec = ours.project(folder / "packs", "packs", stages, max_backlog=ours.ROOM, defaults={"fuse": fuse})
    (spec.parent / "out.jsonl").unlink(missing_ok=True)
    run_here(spec, url, "read:out", total, stages=["read"], count=counted)
    figures = run_here(spec, url, "three:out", total, stages=[*ours.CALLS], count=counted)
    run_here(spec, url, "write:in", total, stages=["write"], count=counted)
    files.check(folder / "packs/out.jsonl", total)
    return figures


async def counted(client: Redis, counter: str) -> int:
    """Read a counter of the pipeline: a stream's length counts entries, and not the records in them."""
    return int(await client.hget("{packs}:meta", counter) or 0)


def queue(url: str, total: int) -> Figures:
    figures = peers.queue(url, total)
    orders.check(url, "queue-3", 3)
    return figures


def limit(url: str, total: int) -> Figures:
    streams = [f"bare-{number}" for number in range(4)]
    orders.push(url, streams[0], total)
    watch = Stopwatch(url)
    bare.hand_on(url, streams, total)
    return watch.figures(total)


def main(harness: Harness) -> None:
    total = harness.options.size(200_000, 3_000)
    folder = harness.path("hops")
    orders.write(folder / "orders.jsonl", total)
    harness.turns(
        "hops",
        f"(a) {total:,} orders, stream to stream through three call stages",
        {
            PEER: partial(queue, harness.url, total),
            "FastStream": partial(peers.faststream, harness.url, total),
            "rsq-pipe, streams": partial(pipeline, harness.url, total, fuse=False),
            "rsq-pipe, fused": partial(pipeline, harness.url, total, fuse=True),
            "streams, packs": partial(between, harness.url, folder, total, fuse=False),
            "fused, packs": partial(between, harness.url, folder, total, fuse=True),
            "bare commands": partial(limit, harness.url, total),
        },
        base=PEER,
    )


if __name__ == "__main__":
    command(main, __doc__)
