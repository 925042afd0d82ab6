"""What each verb costs a record, in batches of 200 records with six fields, without a pipeline around it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import Harness, command
from benchmarks.measure import BenchmarkError, Figures, Stopwatch
from benchmarks.ours import project
from rsq_pipe.model.batch import Batch
from rsq_pipe.spec.loader import load
from rsq_pipe.verbs.build import build

RECORDS = 200
RECORD = {
    "id": 10248,
    "customer": "VINET",
    "quantity": 12,
    "price": 14.5,
    "country": "France",
    "tags": [1, 2, 3, 4],
}
HANDLERS = """
from rsq_pipe import batch_handler

def record(record):
    return record

def with_context(record, ctx):
    return record

async def asynchronous(record):
    return record

@batch_handler
def batch(records):
    return records
"""
RULES = {
    "id": "int",
    "customer": "str",
    "quantity": "int >= 0",
    "price": "float >= 0",
    "country": "str",
    "tags": "list",
}
STAGES: Mapping[str, Mapping[str, Any]] = {
    "call, per record": {"call": "given:record"},
    "call, with ctx": {"call": "given:with_context"},
    "call, async": {"call": "given:asynchronous"},
    "call, per batch": {"call": "given:batch"},
    "map": {"map": {"total": "price * quantity"}},
    "filter": {"filter": "quantity > 1"},
    "route": {"route": [{"to": "a", "when": "quantity > 100"}, {"to": "b", "otherwise": True}]},
    "select": {"select": ["id", "price"]},
    "select, drop": {"select": {"drop": ["country"]}},
    "select, rename": {"select": {"rename": {"price": "net"}}},
    "explode into 4": {"explode": "tags"},
    "sample": {"sample": "50%"},
    "validate": {"validate": {"fields": RULES}},
    "sql": {"sql": "select *, price * quantity as total from batch where quantity > 1"},
}


def cost(name: str, batches: int) -> Figures:
    """Process batches with one verb, built of its stage in a pipeline file."""
    with tempfile.TemporaryDirectory(prefix="rsq-") as folder:
        root = Path(folder)
        stages = {"read": {"source": {"type": "jsonl", "path": "in.jsonl"}}, "work": STAGES[name]}
        spec = project(root, "verbs", stages)
        (root / "given.py").write_text(HANDLERS)
        stage = load(spec).stage("work")
        verb = build(stage, root=root, pipeline="verbs")

        async def work() -> Figures:
            await verb.open()
            try:
                await verb.process(_batch())  # imports, compiles, starts a thread
                given = [_batch() for _ in range(batches)]
                watch = Stopwatch()
                found = [await verb.process(batch) for batch in given]
                figures = watch.figures(RECORDS * batches)
            finally:
                await verb.close()
            if not all(outcomes.emitted and not outcomes.failed for outcomes in found):
                raise BenchmarkError(f"{name}: some records failed, or nothing was emitted")
            return figures

        return asyncio.run(work())


def _batch() -> Batch:
    records = [{**RECORD, "id": number, "tags": [1, 2, 3, 4]} for number in range(RECORDS)]
    return Batch(records, [f"read:{number}" for number in range(RECORDS)])


def main(harness: Harness) -> None:
    batches = harness.options.size(200, 4)
    contenders = {name: partial(cost, name, batches) for name in STAGES}
    harness.turns("verbs", "Verbs, on batches of 200 records with six fields", contenders)


if __name__ == "__main__":
    command(main, __doc__)
