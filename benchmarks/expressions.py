"""Expressions of a `map`, compared with the same in a Python loop, without a pipeline around either."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from benchmarks.harness import Harness, command
from benchmarks.measure import BenchmarkError, Figures, Job, Stopwatch
from rsq_pipe.model.batch import Batch
from rsq_pipe.spec.expressions.expression import compile_expression
from rsq_pipe.verbs.map import Map

RECORD = {
    "id": 17,
    "at": "01.03.2026 09:30",
    "email": "Ada@Example.org",
    "line": "GET /orders/17 status=200 took=12ms",
    "customer": {"name": "ada", "address": {"city": "Paris"}},
    "prices": [14.0, 9.5, 3.25],
    "payload": '{"item": {"sku": "tea", "n": 3}}',
}
_STATUS = re.compile("status=([0-9]+)")


def parsed(text: str) -> datetime:
    return datetime.strptime(text, "%d.%m.%Y %H:%M").replace(tzinfo=UTC)


# What is measured -> the expressions of a map, and the same in Python.
CASES: Mapping[str, tuple[Mapping[str, str], Mapping[str, Callable[[Any], Any]]]] = {
    "arithmetic": (
        {"total": "sum(p * 1.2 for p in prices)", "large": "id > 10 and len(prices) < 9"},
        {
            "total": lambda r: sum(p * 1.2 for p in r["prices"]),
            "large": lambda r: r["id"] > 10 and len(r["prices"]) < 9,
        },
    ),
    "dates": (
        {"due": "add(parse_date(at, '%d.%m.%Y %H:%M'), '36h')"},
        {"due": lambda r: (parsed(r["at"]) + timedelta(hours=36)).strftime("%Y-%m-%dT%H:%M:%SZ")},
    ),
    "pattern": (
        {"status": "extract(line, 'status=([0-9]+)')"},
        {"status": lambda r: found[1] if (found := _STATUS.search(r["line"])) else None},
    ),
    "path": (
        {"city": "get(record, 'customer.address.city', '-')"},
        {"city": lambda r: ((r.get("customer") or {}).get("address") or {}).get("city", "-")},
    ),
    "digests": (
        {"key": "hash(lower(email))", "id": "uuid(email)"},
        {
            "key": lambda r: hashlib.sha256(r["email"].lower().encode()).hexdigest(),
            "id": lambda r: str(uuid5(NAMESPACE_OID, r["email"])),
        },
    ),
    "json": (
        {"n": "json(payload)['item']['n']"},
        {"n": lambda r: json.loads(r["payload"])["item"]["n"]},
    ),
}


def mapped(name: str, batches: int) -> Figures:
    fields, _ = CASES[name]
    verb = Map("work", {name: compile_expression(text) for name, text in fields.items()})
    batch = Batch([RECORD] * 500, [f"r:{number}" for number in range(500)])

    async def work() -> Any:
        made: Any = None
        for _ in range(batches):
            made = (await verb.process(batch)).emitted[""].records[-1]
        return made

    return _timed(lambda: asyncio.run(work()), name, batches)


def looped(name: str, batches: int) -> Figures:
    _, functions = CASES[name]
    records = [RECORD] * 500

    def work() -> Any:
        made: list[Any] = []
        for _ in range(batches):
            made = []
            for record in records:
                copy = dict(record)
                for field, function in functions.items():
                    copy[field] = function(record)
                made.append(copy)
        return made[-1]

    return _timed(work, name, batches)


def _timed(work: Callable[[], Any], name: str, batches: int) -> Figures:
    expected = {**RECORD, **{field: function(RECORD) for field, function in CASES[name][1].items()}}
    watch = Stopwatch()
    made = work()
    figures = watch.figures(500 * batches)
    if made != expected:
        raise BenchmarkError(f"it made {made}, not {expected}")
    return figures


def main(harness: Harness) -> None:
    batches = harness.options.size(100, 4)
    for name in CASES:
        contenders: dict[str, Job] = {
            "Python loop": partial(looped, name, batches),
            "map": partial(mapped, name, batches),
        }
        harness.turns(f"expressions, {name}", f"Expressions: {name}", contenders, base="Python loop")


if __name__ == "__main__":
    command(main, __doc__)
