"""(b) A file of orders through three `call` stages into another file, each process's start and end included.

The peer is the same program written for redis-stream-queue: one process pushes the lines to a stream, another has
three consumers and one that writes the file. So it has two processes where rsq-pipe has one.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

from benchmarks import measure, orders, ours
from benchmarks.harness import Harness, command
from benchmarks.measure import BenchmarkError, Figures, rates, server_cpu

PEER = "redis-stream-queue"
ROOT = Path(__file__).parents[1]


def pipeline(url: str, folder: Path, total: int, *, fuse: bool) -> Figures:
    stages = {
        "read": {"source": {"type": "jsonl", "path": str(folder / "orders.jsonl")}},
        **ours.CALLS,
        "write": {"sink": {"type": "jsonl", "path": "out.jsonl"}},
    }
    spec = ours.project(folder / "ours", "files", stages, defaults={"fuse": fuse})
    before = server_cpu(url)
    ended = ours.run_to_end(spec, url)
    check(folder / "ours/out.jsonl", total)
    return rates(total, ended.seconds, ended.cpu, server_cpu(url) - before)


def queue(url: str, folder: Path, total: int) -> Figures:
    target = folder / "queue.jsonl"
    before, began = server_cpu(url), time.perf_counter()
    (folder / "push").mkdir(exist_ok=True)
    program = [sys.executable, "-m", "benchmarks.peers"]
    environ = {"PYTHONPATH": str(ROOT)}
    writer = measure.start([*program, "write", url, str(target), str(total)], folder, environ)
    pusher = measure.start([*program, "push", url, str(folder / "orders.jsonl")], folder / "push", environ)
    pushed, written = measure.end(pusher, began), measure.end(writer, began)
    check(target, total)
    seconds = max(pushed.seconds, written.seconds)
    return rates(total, seconds, pushed.cpu + written.cpu, server_cpu(url) - before)


def check(path: Path, total: int) -> None:
    """Count the lines, and read one: a benchmark of what is not done right says nothing."""
    with path.open("rb") as file:
        lines = sum(1 for _ in file)
    if lines != total:
        raise BenchmarkError(f"{path} has {lines} of {total} lines")


def main(harness: Harness) -> None:
    total = harness.options.size(500_000, 3_000)
    folder = harness.path("files")
    orders.write(folder / "orders.jsonl", total)
    harness.turns(
        "files",
        f"(b) {total:,} orders, file to file through three call stages",
        {
            PEER: partial(queue, harness.url, folder, total),
            "rsq-pipe, streams": partial(pipeline, harness.url, folder, total, fuse=False),
            "rsq-pipe, fused": partial(pipeline, harness.url, folder, total, fuse=True),
        },
        base=PEER,
    )


if __name__ == "__main__":
    command(main, __doc__)
