"""A record with two keys that are one text in JSON fails where it was made, and loses no value."""

from __future__ import annotations

import pytest

from tests.integration.engine.lab import READ
from tests.integration.engine.packed import PackedLab

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"

HANDLERS = """
    from dataclasses import dataclass
    from rsq_pipe import Emit, batch_handler

    @dataclass
    class Counts:
        n: int
        inner: dict

    def work(record):
        n = record["n"]
        counts = {1: "a", "1": "b"} if n < 5 else {1: "a"}
        match n % 5:
            case 0:
                return {"n": n, **counts}
            case 1:
                return {"n": n, "lines": [{"counts": counts}]}
            case 2:
                return Counts(n, counts)
            case 3:
                return [{"n": n}, {"n": n, "in": (counts,)}]
            case 4:
                return Emit({"n": n, "in": {"a": {"b": counts}}})

    @batch_handler
    def works(records):
        return [work(record) for record in records]

    def same(record):
        return record
"""

BELOW = {
    "sink": OUT,
    "call": f"same: {{call: 'handlers:same'}}\n{OUT}",
    "fused call": f"same: {{call: 'handlers:same', fuse: true}}\n{OUT}",
    "map": f"more: {{map: {{m: n}}}}\n{OUT}",
    "csv": "out: {sink: {type: csv, path: out/all.csv, fields: [n], extra: ignore}}",
}


@pytest.mark.parametrize("serializer", ["json", "msgpack"])
@pytest.mark.parametrize("below", BELOW)
@pytest.mark.parametrize("handler", ["work", "works"])
async def test_keys_that_are_the_same_text_fail_their_record_alone(
    lab: PackedLab, handler: str, below: str, serializer: str
) -> None:
    lab.records(range(10))
    lab.handlers(HANDLERS)
    stages = [READ, f"work: {{call: 'handlers:{handler}'}}", *BELOW[below].split("\n")]
    lab.spec("\n".join(stages), top=f"serializer: {serializer}")

    summary = await lab.run()

    letters = [fields for _, fields in await lab.redis("XRANGE", lab.key("work:dlq"), "-", "+")]
    told = [dict(zip(fields[::2], fields[1::2], strict=True)) for fields in letters]
    assert {one[b"rsq-rid"] for one in told} == {b"read:in.jsonl:%d" % n for n in range(1, 6)}
    assert {one[b"rsq-dlq-attempts"] for one in told} == {b"1"}
    same = b"has the keys 1 and '1', both the text '1' in JSON, and one of their values would be lost"
    assert [one[b"rsq-dlq-error"] for one in told if same not in one[b"rsq-dlq-error"]] == []
    assert (summary.stages["work"].dead, summary.stages["out"].received) == (5, 6)


async def test_keys_that_are_the_same_text_fail_in_a_stream_that_others_read(lab: PackedLab) -> None:
    lab.records(range(10))
    lab.handlers(HANDLERS)
    lab.spec(f"{READ}\nwork: {{call: 'handlers:work', to: {{stream: {lab.pipeline}-out}}}}")

    await lab.run()

    assert len(await lab.dead_letters("work")) == 5
    assert len(await lab.entries(f"{lab.pipeline}-out")) == 6
