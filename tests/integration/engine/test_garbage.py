"""A batch leaves no reference cycle: what it held is freed when it is settled, without a look for garbage."""

from __future__ import annotations

import gc
import importlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import rsq_pipe.engine.runner  # noqa: F401  what its imports make is not a run's
from rsq_pipe.telemetry.observe import observe
from tests.integration.engine.lab import READ, Lab

RECORDS, BATCH = 800, 2

SETTINGS = f"""
    defaults:
      batch: {{size: {BATCH}}}
      retry: {{attempts: 2, backoff: {{first: 10ms, max: 10ms, jitter: 0}}}}
"""

OUT = "{sink: {type: jsonl, path: out/all.jsonl}}"
CALL = "work: {call: 'handlers:work'}"

STAGES = {
    "sync": CALL,
    "sync, with a context": CALL,
    "sync, with an annotation": CALL,
    "sync, that raises": CALL,
    "sync, that splits": CALL,
    "sync, that rejects": CALL,
    "sync, that returns what no codec knows": CALL,
    "async": CALL,
    "async, that raises": CALL,
    "async, four at once": "work: {call: 'handlers:work', concurrency: 4}",
    "batch": CALL,
    "batch, that raises": CALL,
    "batch, with an annotation that fits none": CALL,
    "async batch": CALL,
    "async batch, that raises": CALL,
    "map": "work: {map: {m: n * 2}}",
    "map, not fused": "work: {map: {m: n * 2}, fuse: false}",
    "map, without the field": "work: {map: {m: x * 2}}",
    "map, not fused, without the field": "work: {map: {m: x * 2}, fuse: false}",
    "filter": "work: {filter: n % 2 == 0}",
    "filter, without the field": "work: {filter: x}",
    "route, without the field": "work: {route: [{to: a, when: x < 0}, {to: b, otherwise: true}]}",
}

HANDLERS = {
    "sync": "def work(record): return {**record, 'seen': True}",
    "sync, with a context": "def work(record, ctx): return {**record, 'rid': ctx.rid}",
    "sync, with an annotation": "def work(record: A): return {'n': record.n}",
    "sync, that raises": "def work(record): raise ValueError(record['n'])",
    "sync, that splits": "def work(record): return [record, record]",
    "sync, that rejects": "def work(record): return Reject('no')",
    "sync, that returns what no codec knows": "def work(record): return {'n': object()}",
    "async": "async def work(record): return {**record, 'seen': True}",
    "async, that raises": "async def work(record): raise ValueError(record['n'])",
    "async, four at once": "async def work(record): return await asyncio.sleep(0, record)",
    "batch": "@batch_handler\ndef work(records): return records",
    "batch, that raises": "@batch_handler\ndef work(records): raise ValueError(len(records))",
    "batch, with an annotation that fits none": "@batch_handler\ndef work(records: list[B]): return [None]",
    "async batch": "@batch_handler\nasync def work(records): return records",
    "async batch, that raises": "@batch_handler\nasync def work(records): raise ValueError(len(records))",
}

MODELS = """
import asyncio
from pydantic import BaseModel
from rsq_pipe import Reject, batch_handler
class A(BaseModel):
    n: int
class B(BaseModel):
    missing: int
"""


@pytest.mark.parametrize("stage", STAGES)
async def test_a_stages_batches_leave_no_cycles(lab: Lab, stage: str) -> None:
    lab.records(range(RECORDS))
    lab.handlers(MODELS + HANDLERS.get(stage, ""))
    work = STAGES[stage] if "route" in stage else f"{STAGES[stage]}\nout: {OUT}"
    lab.spec(f"{READ}\n{work}", defaults=SETTINGS)

    with uncollected() as found:
        summary = await lab.run()

    assert summary.stages["work"].received >= RECORDS
    assert_fewer_than_batches(found)


async def test_traced_batches_leave_no_cycles(lab: Lab) -> None:
    lab.records(range(RECORDS))
    lab.handlers(HANDLERS["sync, that raises"])
    lab.spec(
        f"{READ}\n{CALL}\nout: {OUT}",
        top="telemetry: {sample: all}",
        defaults=SETTINGS,
    )

    with observe(lab.graph, {}, trace_file=lab.root / "trace.jsonl") as observer, uncollected() as found:
        await lab.run(observer=observer)

    assert_fewer_than_batches(found)


@pytest.mark.parametrize(
    ("source", "lines"),
    {
        "csv": "n\n" + "".join(f"{n}\n" for n in range(RECORDS)),
        "csv, rows of another length": "n\n" + "1,2\n" * RECORDS,
        "jsonl, broken": "{]\n" * RECORDS,
    }.items(),
)
async def test_a_sources_chunks_leave_no_cycles(lab: Lab, source: str, lines: str) -> None:
    kind = source.partition(",")[0]
    (lab.root / "in.txt").write_text(lines)
    lab.spec(f"read: {{source: {{type: {kind}, path: in.txt}}}}\nout: {OUT}", defaults=SETTINGS)

    with uncollected() as found:
        await lab.run()

    assert_fewer_than_batches(found)


@pytest.mark.parametrize(
    "sink", ["{type: csv, path: out/all.csv}", "{type: csv, path: out/all.csv, fields: [x]}"]
)
async def test_a_sinks_batches_leave_no_cycles(lab: Lab, sink: str) -> None:
    lab.records(range(RECORDS))
    lab.spec(f"{READ}\nout: {{sink: {sink}}}", defaults=SETTINGS)

    with uncollected() as found:
        await lab.run()

    assert_fewer_than_batches(found)


def assert_fewer_than_batches(found: list[object]) -> None:
    """What begins and ends with a run makes some cycles; a cycle has two objects at least, a batch none."""
    kinds = Counter(type(one).__qualname__ for one in found)
    assert len(found) < RECORDS / BATCH, f"{len(found)} objects in cycles: {kinds.most_common(12)}"


@contextmanager
def uncollected() -> Iterator[list[object]]:
    """Switch the collector off, and list at the end what it would have found."""
    found: list[object] = []
    importlib.invalidate_caches()  # a run that imports its handlers drops them, and they are cycles
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found += gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        gc.collect()
