"""(k) Orders, file to file: `sql` compared with the same in `map` and `filter`, and with a plain Python loop.

    python -m benchmarks.sql

Each record is kept if its quantity is more than 2, and gets a computed field. In the last row each also
gets a name from a file of 20 rows. The start and the end of each process are included.
"""

from __future__ import annotations

import csv
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import orders, ours
from benchmarks.harness import Harness, command
from benchmarks.measure import BenchmarkError, Figures, rates, server_cpu
from benchmarks.program import Program

LOOP = """
import json, sys
source, target = sys.argv[1:]
with open(source, "rb") as lines, open(target, "w") as out:
    for line in lines:
        order = json.loads(line)
        if order["quantity"] > 2:
            out.write(json.dumps({**order, "total": order["quantity"] * 1.5}) + "\\n")
"""
COMPUTED = "select *, quantity * 1.5 as total from batch where quantity > 2"
JOINED = "select batch.*, t.name from batch join 'tiers.csv' t on t.quantity = batch.quantity % 20"
MAPPED = {"keep": {"filter": "quantity > 2"}, "calc": {"map": {"total": "quantity * 1.5"}}}


def pipeline(url: str, folder: Path, name: str, total: int, calc: dict[str, Any], **settings: Any) -> Figures:
    stages = {
        "read": {"source": {"type": "jsonl", "path": str(folder / "orders.jsonl")}},
        **calc,
        "write": {"sink": {"type": "jsonl", "path": "out.jsonl"}},
    }
    spec = ours.project(folder / name, "sql", stages, **settings)
    with (folder / name / "tiers.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["quantity", "name"], *([n, f"tier {n}"] for n in range(20))])
    before = server_cpu(url)
    ended = ours.run_to_end(spec, url)
    check(folder / name / "out.jsonl", computed=name != "joined")
    return rates(total, ended.seconds, ended.cpu, server_cpu(url) - before)


def loop(folder: Path, total: int) -> Figures:
    target = folder / "loop.jsonl"
    ended = Program([sys.executable, "-c", LOOP, folder / "orders.jsonl", target], folder).wait()
    check(target, computed=True)
    return rates(total, ended.seconds, ended.cpu)


def check(path: Path, *, computed: bool) -> None:
    """Check that each record is what it should be: the rate of wrong results means nothing."""
    with path.open("rb") as file:
        for order in map(json.loads, file):
            if computed and (order["quantity"] <= 2 or order["total"] != order["quantity"] * 1.5):
                raise BenchmarkError(f"{path} holds a wrong order: {order}")
            if not computed and order["name"] != f"tier {order['quantity'] % 20}":
                raise BenchmarkError(f"{path} holds a wrong order: {order}")


def main(harness: Harness) -> None:
    total = harness.options.size(300_000, 3_000)
    folder = harness.path("sql")
    orders.write(folder / "orders.jsonl", total)
    sql: dict[str, Any] = {"calc": {"sql": COMPUTED}}
    joined: dict[str, Any] = {"calc": {"sql": JOINED}}
    apart = {"defaults": {"fuse": False}}
    run = partial(pipeline, harness.url, folder)
    harness.turns(
        "sql",
        f"(k) {total:,} orders, file to file, one condition and one new field",
        {
            "map and filter": partial(run, "map", total, MAPPED),
            "plain Python loop": partial(loop, folder, total),
            "sql": partial(run, "sql", total, sql),
            "sql, fuse: false": partial(run, "apart", total, sql, **apart),
            "sql, joins a file": partial(run, "joined", total, joined),
        },
        base="map and filter",
    )


if __name__ == "__main__":
    command(main, __doc__)
