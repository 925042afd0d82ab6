"""Pipelines that aggregate, for the tests of windows on a server."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.engine.lab import READ
from tests.integration.engine.packed import PackedLab

PRINT = "out: {sink: {type: jsonl, path: out/all.jsonl, rid: true}}"
HOURLY = f"""
    {READ}
    hourly: {{aggregate: {{by: [k], every: 1h, on: n * 60, compute: {{count: count(), sum: sum(n)}}}}}}
    {PRINT}
"""
LIVE = """
    read: {source: {type: stream, stream: "STREAM"}}
    hourly: {aggregate: {every: 1h, on: n * 60, IDLE compute: {count: count(), sum: sum(n)}}}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
    late: {from: hourly.late, sink: {type: jsonl, path: out/late.jsonl}}
"""


def expected(numbers: range, size: int = 60) -> dict[Any, Any]:
    """Hour and group -> count and sum, of records {n, k: n % 3} at minute n."""
    found: dict[Any, list[int]] = {}
    for n in numbers:
        found.setdefault((n // size, n % 3), []).append(n)
    return {key: (len(some), sum(some)) for key, some in found.items()}


def results(lab: PackedLab) -> dict[Any, Any]:
    lines = lab.lines("out/all.jsonl")
    found = {(int(line["window_start"][11:13]), line["k"]): (line["count"], line["sum"]) for line in lines}
    assert len(found) == len(lines), "a result came twice"
    return found


def put(lab: PackedLab, numbers: range) -> None:
    for k in range(3):
        lab.records((n for n in numbers if n % 3 == k), path=f"{numbers.start}-{k}.jsonl", k=k)


async def stored(lab: PackedLab, count: int) -> bool:
    return (await lab.state()).counters.get("hourly:stored", 0) == count


def outside(lab: PackedLab) -> str:
    return f"{lab.pipeline}-outside"


async def came(lab: PackedLab, *numbers: int) -> None:
    for n in numbers:
        await lab.client.channel.execute(
            "XADD", outside(lab), "*", "data", json.dumps({"n": n}), key=outside(lab)
        )


def sums(lab: PackedLab) -> list[tuple[int, int]]:
    return [(json.loads(line)["count"], json.loads(line)["sum"]) for line in lab.lines_so_far()]
