"""(b) A file of orders through three `call` stages into another file, including each process's start and end.

The peer is the same program written for redis-stream-queue: one process pushes the lines to a stream, another
has three consumers and one that writes the file. That makes two processes; rsq-pipe is run with one and two.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import orders, ours
from benchmarks.harness import Harness, command
from benchmarks.measure import BenchmarkError, Figures, rates, server_cpu
from benchmarks.program import Program

PEER = "redis-stream-queue"
ROOT = Path(__file__).parents[1]


def pipeline(url: str, folder: Path, total: int, *, fuse: bool, processes: int = 1) -> Figures:
    stages = {
        "read": {"source": {"type": "jsonl", "path": str(folder / "orders.jsonl")}},
        **ours.CALLS,
        "write": {"sink": {"type": "jsonl", "path": "out.jsonl"}},
    }
    spec = ours.project(folder / "ours", "files", stages, defaults={"fuse": fuse})
    before = server_cpu(url)
    ended = ours.run_to_end(spec, url, "--processes", str(processes))
    check(folder / "ours/out.jsonl", total)
    return rates(total, ended.seconds, ended.cpu, server_cpu(url) - before)


def queue(url: str, folder: Path, total: int) -> Figures:
    target = folder / "queue.jsonl"
    before = server_cpu(url)
    (folder / "push").mkdir(exist_ok=True)
    program = [sys.executable, "-m", "benchmarks.peers"]
    environ = {"PYTHONPATH": str(ROOT)}
    writer = Program([*program, "write", url, str(target), str(total)], folder, environ)
    pusher = Program([*program, "push", url, str(folder / "orders.jsonl")], folder / "push", environ)
    pushed, written = pusher.wait(), writer.wait()
    check(target, total)
    return rates(total, written.seconds, pushed.cpu + written.cpu, server_cpu(url) - before)


def check(path: Path, total: int) -> None:
    """Count the orders, and look into each: the rate of wrong results means nothing."""
    with path.open("rb") as file:
        found = {order["id"]: order for order in map(json.loads, file)}
    wrong = [number for number in range(total) if found.get(number) != order_after(number)]
    if wrong:
        raise BenchmarkError(
            f"{path} lacks {len(wrong)} of {total} orders, or has others; the first is {wrong[0]}"
        )


def order_after(number: int) -> dict[str, Any]:
    """Make an order as it should be after three stages."""
    order = orders.order(number)
    return {**order, "quantity": order["quantity"] + 3}


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
            "streams, 2 processes": partial(pipeline, harness.url, folder, total, fuse=False, processes=2),
            "fused, 2 processes": partial(pipeline, harness.url, folder, total, fuse=True, processes=2),
        },
        base=PEER,
    )


if __name__ == "__main__":
    command(main, __doc__)
