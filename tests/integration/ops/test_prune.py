"""What stands on the server for nobody is named once, and pruned on request."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from rsq_pipe.engine.changes.changeover import plan
from rsq_pipe.engine.changes.last_run import known
from rsq_pipe.ops import prune as module
from rsq_pipe.ops.hold import pause
from rsq_pipe.ops.prune import prune
from tests.integration.engine.lab import READ, Lab
from tests.integration.engine.leftovers import CHAIN, PATIENT, leave

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"


async def make_stranger(lab: Lab) -> None:
    await lab.redis("XGROUP", "CREATE", lab.key("read"), "audit", "0")


async def test_a_group_of_nobody_is_named_by_one_run_and_not_by_the_next(lab: Lab) -> None:
    lab.records(range(3))
    lab.spec(f"{READ}\n{OUT}")
    await lab.run()
    await make_stranger(lab)

    with capture_logs() as first:
        await lab.run()
    with capture_logs() as second:
        await lab.run()

    (told,) = [line for line in first if "belong to no stage" in line["event"]]
    assert told["groups"] == f"audit of {lab.key('read')}"
    assert told["mend"] == f"rsq-pipe plan {lab.path} --prune"
    assert not [line for line in second if "belong to no stage" in line["event"]]


async def test_a_group_of_nobody_is_pruned(lab: Lab) -> None:
    lab.records(range(3))
    lab.spec(f"{READ}\n{OUT}")
    await lab.run()
    await make_stranger(lab)
    assert (await plan(lab.client, lab.graph)).strangers == (("audit", lab.key("read")),)

    done = await prune(lab.client, lab.graph)

    assert done.groups == (("audit", lab.key("read")),)
    assert [group.name for group in await lab.client.group_info(lab.key("read"))] == ["out"]
    assert (await lab.run()).finished


async def test_a_group_that_somebody_reads_through_is_left(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.records(range(3))
    lab.spec(f"{READ}\n{OUT}", top="keep: 1h")
    await lab.run()
    await make_stranger(lab)
    await lab.redis("XREADGROUP", "GROUP", "audit", "somebody", "STREAMS", lab.key("read"), ">")

    done = await prune(lab.client, lab.graph)
    monkeypatch.setattr(module, "QUIET", 0.0)
    later = await prune(lab.client, lab.graph)

    assert (done.groups, done.active) == ((), (("audit", lab.key("read")),))
    assert later.groups == (("audit", lab.key("read")),)


async def test_what_a_drained_stage_left_is_pruned_after_a_run_without_it(lab: Lab) -> None:
    lab.handlers("def slow(record): return record")
    lab.records(range(5))
    lab.spec(CHAIN)
    await lab.run()
    lab.spec(CHAIN.replace('slow: {call: "handlers:slow"}', ""))
    assert (await prune(lab.client, lab.graph)).stages == ()  # its place is still to be handed on
    await lab.run()

    done = await prune(lab.client, lab.graph)

    assert done.stages == ("slow",)
    fields = {field.decode() for field in await lab.redis("HKEYS", lab.key("meta"))}
    assert known(fields) == ["add", "out", "read"]
    assert not await lab.redis("EXISTS", lab.key("slow"), lab.key("slow:again"))
    assert (await lab.run()).nothing_new


async def test_a_stage_that_was_pruned_and_comes_back_is_not_paused(lab: Lab) -> None:
    lab.handlers("def slow(record): return record")
    lab.records(range(5))
    lab.spec(CHAIN)
    await lab.run()
    await pause(lab.client, lab.graph, "slow", "it goes")
    lab.spec(CHAIN.replace('slow: {call: "handlers:slow"}', ""))
    await lab.run()

    assert (await prune(lab.client, lab.graph)).stages == ("slow",)

    assert not [field for field in await lab.redis("HKEYS", lab.key("meta")) if b"paused:slow:h" in field]


async def test_what_holds_records_is_never_pruned(lab: Lab) -> None:
    await leave(lab)
    lab.spec(CHAIN.replace('slow: {call: "handlers:slow"}', ""), defaults=PATIENT)
    before = await lab.redis("HGETALL", lab.key("meta"))

    done = await prune(lab.client, lab.graph)

    assert done == module.Pruned()
    assert await lab.redis("HGETALL", lab.key("meta")) == before
