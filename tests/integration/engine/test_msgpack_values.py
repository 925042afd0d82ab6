"""What only msgpack can hold fails its record where JSON is needed, and never the run."""

from __future__ import annotations

import json

import pytest

from tests.integration.engine.lab import READ
from tests.integration.engine.packed import PackedLab

HANDLERS = """
    from math import nan

    ODD = [{1: "a"}, [{None: 1}], [nan], {"a": nan}, nan]

    def odd(record):
        return {**record, "v": ODD[record["n"]] if record["n"] < len(ODD) else {"a": [None, "null"]}}
"""

STAGES = {
    "last": "last: {aggregate: {by: [n], compute: {v: last(v)}}}",
    "count_distinct": "last: {aggregate: {by: [n], compute: {v: count_distinct(v)}}}",
    "sql": "last: {sql: 'select n, [v, v] as v from batch'}",
}


@pytest.mark.parametrize("stage", STAGES)
async def test_a_value_that_json_cannot_hold_fails_its_record_alone(lab: PackedLab, stage: str) -> None:
    lab.records(range(8))
    lab.handlers(HANDLERS)
    out = "out: {sink: {type: jsonl, path: out/all.jsonl}}"
    lab.spec(f"{READ}\nodd: {{call: 'handlers:odd'}}\n{STAGES[stage]}\n{out}", top="serializer: msgpack")

    summary = await lab.run()

    letters = [fields for _, fields in await lab.redis("XRANGE", lab.key("last:dlq"), "-", "+")]
    rids = {dict(zip(one[::2], one[1::2], strict=True))[b"rsq-rid"] for one in letters}
    # A key that is a number becomes text in SQL, as it does in JSON.
    first = 2 if stage == "sql" else 1
    assert rids == {b"read:in.jsonl:%d" % line for line in range(first, 6)}
    assert lab.numbers("out/all.jsonl") == [n for n in range(8) if n + 1 not in range(first, 6)]
    assert summary.finished


@pytest.mark.parametrize("more", ["", ", every: 1h, on: at", ", gap: 1h, on: at"])
async def test_a_group_of_a_large_float_has_a_result(lab: PackedLab, more: str) -> None:
    lab.records(range(4))
    lab.handlers(
        "def large(record): return {'k': [1e20, 5.0][record['n'] % 2], 'at': '2026-03-01T09:00:00Z'}"
    )
    large = "large: {call: 'handlers:large'}"
    groups = f"groups: {{aggregate: {{by: [k]{more}, compute: {{n: count()}}}}}}"
    out = "out: {sink: {type: jsonl, path: out/all.jsonl}}"
    lab.spec(f"{READ}\n{large}\n{groups}\n{out}", top="serializer: msgpack")

    await lab.run()

    lines = map(json.loads, (lab.root / "out/all.jsonl").read_text().splitlines())
    assert {(one["k"], one["n"]) for one in lines} == {(1e20, 2), (5, 2)}
