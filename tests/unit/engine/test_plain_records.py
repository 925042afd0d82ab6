"""Fused stages get records as out of a stream; what cannot be written fails where it was made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.engine.chain import Chain, Link, Step
from rsq_pipe.engine.packing import Port
from rsq_pipe.errors import EncodeError
from rsq_pipe.model.outcome import Emit, Failure, Outcome
from rsq_pipe.telemetry.observer import StageObserver
from tests.unit.engine.given import JSON, PACKS, Returns, linked, pipeline, records, run
from tests.unit.engine.stages import stage
from tests.unit.verbs.given import batch

HANDLERS = """
SAME = {"n": 1}

def same(record):
    return [SAME, SAME]

def keep(record):
    record["seen"] = record["n"]
    return record
"""
BAD: list[Any] = [
    {"n": object()},
    {"n": float("nan")},
    {"n": [float("inf")]},
    {"n": "\ud800"},
    {"\udcff": 1},
    {"n": {"deep": ["\ud800"]}},
]


async def ended(result: Any, below: bool) -> Step:
    """What becomes of three records, the second of which a handler made this of."""
    at = stage(ports=("odd",))
    outcomes: list[Outcome] = [{"n": 1}, result, {"n": 3}]
    port = Port("{orders}:price", JSON, PACKS)
    next_one = Link(stage("next"), Returns(stage("next"), [{}, {}]), StageObserver(), {"": port})
    first = Link(
        at,
        Returns(at, outcomes),
        StageObserver(),
        {"odd": port} if below else {"": port, "odd": port},
        {"": next_one} if below else {},
    )
    first_step, *others = await run(Chain(first, JSON), batch(*({"n": n} for n in range(3))))
    if below:
        assert others[0].batch.rids == ["read:0", "read:2"]
    else:
        assert [given["rsq-rid"] for _, _, given in records(first_step.written[""].outputs)] == [
            "read:0",
            "read:2",
        ]
    return first_step


@pytest.mark.parametrize("below", [False, True], ids=["to a stream", "fused"])
@pytest.mark.parametrize("result", BAD, ids=repr)
async def test_a_record_that_cannot_be_written_fails_in_the_stage_that_made_it(
    result: Any, below: bool
) -> None:
    step = await ended(result, below)

    failed = step.outcomes.failed[1]
    assert isinstance(failed, Failure)
    assert isinstance(failed.error, EncodeError)
    assert failed.error.__traceback__ is None  # it would keep the batch in memory
    assert not failed.retryable


@pytest.mark.parametrize("below", [False, True], ids=["to a stream", "fused"])
@pytest.mark.parametrize(
    "result",
    [
        [{"n": 1}, {"n": object()}, {"n": 2}],
        [Emit({"n": 1}, "odd"), {"n": object()}],
        [{"n": 1}, Emit({"n": object()}, "odd")],
    ],
    ids=["a child", "one port", "the other port"],
)
async def test_of_a_record_of_which_a_part_cannot_be_written_nothing_goes_on(
    result: Any, below: bool
) -> None:
    step = await ended(result, below)

    assert list(step.outcomes.failed) == [1]
    assert all(1 not in emitted.sources for emitted in step.outcomes.emitted.values())
    assert "odd" not in step.written or step.written["odd"].outputs == []


@pytest.mark.parametrize(
    ("result", "seen"),
    [
        ({"t": (1, (2,))}, {"t": [1, [2]]}),
        ({"n": 2**70}, {"n": 2**70}),
        ({"x": -0.0, "s": "ä\x00"}, {"x": -0.0, "s": "ä\x00"}),
        ({"b": b"x"}, {"b": "eA=="}),
    ],
)
async def test_a_fused_stage_gets_records_as_out_of_a_stream(result: Any, seen: Any) -> None:
    at, port = stage(), Port("{orders}:price", JSON, PACKS)
    below = Link(stage("next"), Returns(stage("next"), [{}, {}]), StageObserver(), {"": port})
    of = Chain(Link(at, Returns(at, [{"n": 0}, result]), StageObserver(), {}, {"": below}), JSON)

    _, second = await run(of, batch({}, {}))

    assert second.batch.records == [{"n": 0}, seen]


async def test_a_fused_handler_gets_a_record_of_its_own_and_its_bytes_are_kept(tmp_path: Path) -> None:
    text = """
    read: {source: {type: jsonl, path: in.jsonl}}
    same: {call: handlers:same}
    keep: {call: handlers:keep, fuse: true}
    out: {sink: {type: jsonl, path: out.jsonl}}
    """
    of = pipeline(tmp_path, text, handlers=HANDLERS)

    for _ in range(2):
        first, second = await run(linked(of, "same"), batch({"n": 0}))

        assert [second.batch.original(place) for place in range(2)] == [b'{"n":1}', b'{"n":1}']
        assert first.outcomes.emitted[""].records == [{"n": 1}, {"n": 1}]
        assert [record for _, record, _ in records(second.written[""].outputs)] == [{"n": 1, "seen": 1}] * 2
