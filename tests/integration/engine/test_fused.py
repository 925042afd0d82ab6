"""Stages that run in one worker keep what is their own: retries, dead letters, replays, what stood before."""

from __future__ import annotations

import pytest

from rsq_pipe.errors import HandlerError
from rsq_pipe.ops.dead_letters.dead_letters import find
from rsq_pipe.ops.dead_letters.edits import Edits
from rsq_pipe.ops.dead_letters.progress import Progress
from rsq_pipe.ops.dead_letters.replay import replay
from rsq_pipe.ops.dead_letters.selection import Selection
from rsq_pipe.streams.removal import Removed
from tests.integration.engine.lab import READ, Lab
from tests.integration.engine.leftovers import name_of_the_dead
from tests.integration.engine.packed import PackedLab
from tests.support.signals import wait_until

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"

CHAIN = f"""
    {READ}
    first: {{call: "handlers:first"}}
    share: {{map: {{m: "60 / n"}}}}
    last: {{call: "handlers:last", fuse: true}}
    {OUT}
"""

HANDLERS = """
    from rsq_pipe import Reject

    CALLS = []

    def first(record, ctx):
        CALLS.append(("first", record["n"], ctx.attempt))
        return record

    def last(record, ctx):
        CALLS.append(("last", record["n"], ctx.attempt))
        if record["n"] == 3 and ctx.attempt == 1:
            raise ConnectionError("not yet")
        return Reject("no five") if record["n"] == 5 else record
"""


async def test_a_retry_of_a_fused_stage_comes_back_to_that_stage_alone(lab: PackedLab) -> None:
    lab.records(range(1, 5))
    lab.handlers(HANDLERS)
    lab.spec(CHAIN, top="keep: 1h")

    summary = await lab.run()

    calls = lab.module.CALLS
    assert [call for call in calls if call[1] == 3] == [("first", 3, 1), ("last", 3, 1), ("last", 3, 2)]
    assert len(calls) == 4 + 4 + 1
    assert lab.numbers("out/all.jsonl") == [1, 2, 3, 4]
    assert [summary.stages[name].retried for name in ("first", "share", "last")] == [0, 0, 1]
    assert [summary.stages[name].received for name in ("first", "share", "last")] == [4, 4, 5]
    ((_, again),) = await lab.entries(lab.key("last:again"))
    assert (again["data"], again["rsq-rid"]) == ('{"n":3,"m":20.0}', "read:in.jsonl:3")
    assert await lab.entries(lab.key("first")) == await lab.entries(lab.key("share")) == []


async def test_dead_letters_of_fused_stages_are_theirs_and_are_replayed_there(lab: PackedLab) -> None:
    lab.records([0, 1, 5])
    lab.handlers(HANDLERS)
    lab.spec(CHAIN)
    await lab.run()

    letters = {name: await lab.dead_letters(name) for name in ("first", "share", "last")}
    assert letters["first"] == []
    ((share,), (last,)) = letters["share"], letters["last"]
    assert (share["data"], share["rsq-rid"]) == ('{"n":0}', "read:in.jsonl:1")
    assert (share["rsq-dlq-stage"], share["rsq-dlq-reason"]) == ("share", "expression_error")
    assert (last["data"], last["rsq-rid"]) == ('{"n":5,"m":12.0}', "read:in.jsonl:3")
    assert (last["rsq-dlq-stage"], last["rsq-dlq-error"]) == ("last", "no five")

    progress = Progress()
    found = await find(lab.client, lab.pipeline, lab.graph, Selection())
    await replay(found, Edits.of([], {"n": 6}), progress)
    assert progress.stages == {"share": Removed(removed=1), "last": Removed(removed=1)}
    await lab.run()

    replayed = [call for call in lab.module.CALLS if call[1] == 6]
    assert replayed == [("last", 6, 1)] * 2, "the stage above is not asked again"
    assert sorted((line["n"], line["m"]) for line in lab.lines("out/all.jsonl")) == [
        *((1, 60.0), (6, 10.0), (6, 12.0))
    ]
    assert [await lab.dead_letters(name) for name in ("share", "last")] == [[], []]


@pytest.mark.parametrize("left", ["waiting", "pending"])
async def test_what_stands_in_a_stream_between_stages_that_are_fused_now_is_drained(
    lab: PackedLab, left: str
) -> None:
    stages = f"""
        {READ}
        first: {{map: {{k: n}}, fuse: false}}
        second: {{map: {{m: "n + 1"}}, fuse: false}}
        {OUT}
    """
    lab.records(range(20))
    lab.spec(stages)
    run = await lab.up(stages=["read", "first"])
    await wait_until(lambda: _holds(lab, "first", 20), what="20 records stand between the stages")
    await run.stop()
    if left == "pending":
        dead = name_of_the_dead("second")
        await lab.redis("XREADGROUP", "GROUP", "second", dead, "STREAMS", lab.key("first"), ">")
    lab.spec(stages.replace(", fuse: false", ""))
    lab.records(range(20, 30))

    summary = await lab.run()

    assert summary.finished
    assert lab.numbers("out/all.jsonl") == list(range(30))
    assert all(line["m"] == line["n"] + 1 for line in lab.lines("out/all.jsonl"))
    assert [summary.stages[name].received for name in ("first", "second")] == [10, 30]
    assert await lab.records_in("first") == 0


async def _holds(lab: Lab, name: str, records: int) -> bool:
    return await lab.records_in(name) == records


async def test_a_source_whose_fused_stage_stops_does_not_move_its_position(lab: PackedLab) -> None:
    stages = f"""
        {READ}
        share: {{map: {{m: "60 / n"}}, on_error: stop}}
        {OUT}
    """
    lab.records(range(1, 11))
    lab.spec(stages)
    await lab.run()
    before = await positions(lab)
    lab.records([11, 0, 12])

    for _ in range(2):
        with pytest.raises(HandlerError, match=r"stage 'share' stopped at record 'read:in.jsonl:12'"):
            await lab.run()
        assert await positions(lab) == before
    assert lab.numbers("out/all.jsonl") == list(range(1, 11))
    assert await lab.dead_letters("share") == await lab.dead_letters("read") == []

    lab.spec(stages.replace("on_error: stop", "on_error: drop"))
    summary = await lab.run()

    assert lab.numbers("out/all.jsonl") == list(range(1, 13))
    assert summary.stages["share"].drops == {"on_error: expression_error": 1}
    assert await positions(lab) != before


async def positions(lab: Lab) -> dict[bytes, bytes]:
    """Read the source's positions."""
    found = await lab.redis("HGETALL", lab.key("meta"))
    pairs = dict(zip(found[::2], found[1::2], strict=True)) if isinstance(found, list) else found
    positions = {name: text for name, text in pairs.items() if name.startswith(b"position:read:")}
    assert positions
    return positions


async def test_a_record_at_which_a_fused_stage_stops_runs_is_condemned_by_none_of_them(
    lab: PackedLab,
) -> None:
    stages = f"""
        {READ}
        first: {{call: "handlers:first", retry: {{deliveries: 2}}}}
        share: {{map: {{m: "60 / n"}}, on_error: stop}}
        {OUT}
    """
    lab.records([1, 0, 2])
    lab.handlers(HANDLERS)
    lab.spec(stages)

    for _ in range(5):
        with pytest.raises(HandlerError, match=r"stage 'share' stopped at record 'read:in.jsonl:2'"):
            await lab.run()
    lab.spec(stages.replace("60 / n", "n"))
    await lab.run()

    assert lab.numbers("out/all.jsonl") == [0, 1, 2]
    assert await lab.dead_letters("first") == await lab.dead_letters("share") == []
