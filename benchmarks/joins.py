"""join, file to file, of orders with their payments, compared with a Python loop with a dict.

loop       holds all payments in a dict, in memory, and forgets them when it ends
join       `join: {left: orders, right: payments, on: id, within: 24h}`
map        the same records through a `map` in its own worker: what a stage costs by itself
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import ours
from benchmarks.harness import Harness, command
from benchmarks.measure import BenchmarkError, Figures, Stopwatch, rates, server_cpu

PIPELINE = "joins"


def write(folder: Path, total: int) -> int:
    """Write orders, and a payment for nine out of ten, some way behind; return the number of pairs."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "orders.jsonl").open("w") as orders, (folder / "payments.jsonl").open("w") as payments:
        for n in range(total // 2):
            orders.write(json.dumps({"id": n, "total": n % 977}, separators=(",", ":")) + "\n")
            if n % 10:
                payments.write(json.dumps({"id": n, "paid": n % 977}, separators=(",", ":")) + "\n")
    return sum(1 for n in range(total // 2) if n % 10)


def loop(folder: Path, total: int) -> Figures:
    """Do by hand what the pipeline does, except surviving failures."""
    watch = Stopwatch()
    paid: dict[int, list[dict[str, Any]]] = {}
    with (folder / "payments.jsonl").open() as source:
        for line in source:
            record = json.loads(line)
            paid.setdefault(record["id"], []).append(record)
    with (folder / "orders.jsonl").open() as source, (folder / "loop.jsonl").open("w") as target:
        for line in source:
            record = json.loads(line)
            for payment in paid.get(record["id"], ()):
                target.write(json.dumps({**record, "payment": payment}, separators=(",", ":")) + "\n")
    return watch.figures(total)


def pipeline(url: str, folder: Path, total: int, *, name: str, stage: dict[str, Any], pairs: int) -> Figures:
    """Run a pipeline of two sources and one stage."""
    stages = {
        side: {"source": {"type": "jsonl", "path": str(folder / f"{side}.jsonl")}}
        for side in ("orders", "payments")
    }
    stages |= {"both": stage, "write": {"sink": {"type": "jsonl", "path": "out.jsonl"}}}
    spec = ours.project(folder / name, f"{PIPELINE}-{name}", stages)
    before = server_cpu(url)
    ended = ours.run_to_end(spec, url, "--json")
    seconds = json.loads((spec.parent / "log").read_text().splitlines()[-1])["seconds"]
    lines = sum(1 for _ in (spec.parent / "out.jsonl").open())
    if name == "join" and lines != pairs:
        raise BenchmarkError(f"{lines:,} pairs instead of {pairs:,}")
    return rates(total, seconds, ended.cpu, server_cpu(url) - before)


def main(harness: Harness) -> None:
    total = harness.options.size(600_000, 6_000)
    folder = harness.path("joins")
    pairs = write(folder, total)
    run = partial(pipeline, harness.url, folder, total, pairs=pairs)
    join = {"left": "orders", "right": "payments", "on": "id", "within": "24h", "as": {"right": "payment"}}
    plain = {"from": ["orders", "payments"], "map": {"m": "id"}, "fuse": False}
    contenders = {
        "loop": partial(loop, folder, total),
        "join": partial(run, name="join", stage={"join": join}),
        "map": partial(run, name="map", stage=plain),
    }
    harness.turns("joins", f"{total:,} records of two files joined, file to file", contenders, base="loop")


if __name__ == "__main__":
    command(main, __doc__)
