"""Orders, file to file, through one verb that shapes or checks records, compared with a plain Python loop.

    python -m benchmarks.shapes

The start and the end of each process are included.
"""

from __future__ import annotations

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
        {body}
"""
_WRITE = 'out.write(json.dumps({record}) + "\\n")'
LOOPS = {
    "select": _WRITE.format(record='{"id": order["id"], "sku": order["sku"], "amount": order["price"]}'),
    "explode": "for part in order['parts']: "
    + _WRITE.format(record='{"id": order["id"], "part": part, "price": order["price"]}'),
    "validate": "if type(order['quantity']) is int and order['price'] >= 0 and order['sku'][:4] == 'sku-': "
    + _WRITE.format(record="order"),
    "sample": "if order['id'] % 10 == 0: " + _WRITE.format(record="order"),
}
VERBS: dict[str, dict[str, Any]] = {
    "select": {"select": {"keep": ["id", "sku", "price"], "rename": {"price": "amount"}}},
    "explode": {"explode": {"field": "parts", "as": "part", "keep": ["id", "price"]}},
    "validate": {
        "validate": {"fields": {"quantity": "int", "price": "float >= 0", "sku": "str matches 'sku-.*'"}}
    },
    "sample": {"sample": "10%"},
}


def write(path: Path, total: int) -> None:
    """Write orders, each with a list of three parts."""
    with path.open("wb") as file:
        for record in orders.orders(total):
            file.write(orders.encoded({**record, "parts": ["a", "b", "c"]}) + b"\n")


def wanted(name: str, total: int) -> range:
    """Return how many lines may come out: for a sample, the number varies."""
    lines = {"explode": 3 * total, "sample": total // 10}.get(name, total)
    return range(lines * 8 // 10, lines * 12 // 10) if name == "sample" else range(lines, lines + 1)


def check(path: Path, name: str, total: int) -> None:
    """Check that everything came out: the rate of wrong results means nothing."""
    with path.open("rb") as file:
        lines = sum(1 for _ in file)
    if lines not in wanted(name, total):
        raise BenchmarkError(f"{path} has {lines:,} lines")


def loop(folder: Path, total: int, name: str) -> Figures:
    target = folder / f"{name}.jsonl"
    code = LOOP.replace("{body}", LOOPS[name])
    ended = Program([sys.executable, "-c", code, folder / "orders.jsonl", target], folder).wait()
    check(target, name, total)
    return rates(total, ended.seconds, ended.cpu)


def pipeline(url: str, folder: Path, total: int, name: str) -> Figures:
    stages = {
        "read": {"source": {"type": "jsonl", "path": str(folder / "orders.jsonl")}},
        "work": VERBS[name],
        "write": {"sink": {"type": "jsonl", "path": "out.jsonl"}},
    }
    spec = ours.project(folder / name, f"shapes-{name}", stages)
    before = server_cpu(url)
    ended = ours.run_to_end(spec, url)
    check(folder / name / "out.jsonl", name, total)
    return rates(total, ended.seconds, ended.cpu, server_cpu(url) - before)


def main(harness: Harness) -> None:
    total = harness.options.size(300_000, 3_000)
    folder = harness.path("shapes")
    write(folder / "orders.jsonl", total)
    for name in VERBS:
        contenders = {
            "loop": partial(loop, folder, total, name),
            name: partial(pipeline, harness.url, folder, total, name),
        }
        harness.turns(
            f"shapes-{name}", f"{total:,} orders through {name}, file to file", contenders, base="loop"
        )


if __name__ == "__main__":
    command(main, __doc__)
