"""What a pipeline holds is told in records, though the server counts entries."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rsq_pipe.engine.changes import provision
from rsq_pipe.engine.changes.changeover import change_over
from rsq_pipe.engine.changes.lost_place import lost_place
from rsq_pipe.engine.changes.past import read_past
from rsq_pipe.engine.housekeeping.retention import Retention
from rsq_pipe.engine.ownership.presence import Presence
from rsq_pipe.engine.state.count_fields import appended, settled
from rsq_pipe.engine.state.record_counts import begin
from rsq_pipe.engine.state.state import read_state
from rsq_pipe.errors import GroupLostError
from rsq_pipe.ops.discard import discard
from rsq_pipe.ops.prune import prune
from rsq_pipe.ops.rename import rename
from rsq_pipe.ops.stage_status import StageStatus
from rsq_pipe.ops.status import read_status
from tests.integration.engine.lab import READ
from tests.integration.engine.leftovers import name_of_the_dead
from tests.integration.engine.packed import PackedLab
from tests.support.room import room

CHAIN = f"""
    {READ}
    add: {{map: {{m: "n + 1"}}}}
    out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
"""
BETWEEN = CHAIN.replace("    add:", '    mid: {map: {k: "n"}}\n    add:', 1)


@pytest.fixture
def lab(lab: PackedLab) -> PackedLab:
    lab.spec(CHAIN)
    return lab


@pytest.fixture
async def laid(lab: PackedLab) -> PackedLab:
    await provision.lay(lab.client, lab.graph)
    return lab


async def test_backlog_lag_and_pending_are_records(laid: PackedLab) -> None:
    for size in (10, 20, 30, 40):
        await laid.append("read", size)
    await laid.read("add", "read", 2)

    state = await read_state(laid.client, laid.graph)

    add = state.stages["add"]
    assert (add.lag, add.pending, add.backlog, add.idle) == (50, 50, 100, False)
    assert state.backlog[laid.key("read")] == 100


async def test_what_was_settled_is_not_held(laid: PackedLab) -> None:
    await laid.append("read", 10)
    await laid.append("read", 500)
    (first, *_) = await laid.read("add", "read", 1)
    await laid.settle("add", "read", first)

    add = (await read_state(laid.client, laid.graph)).stages["add"]

    assert (add.lag, add.pending) == (500, 0)


async def test_entries_that_only_the_server_counts_wrongly_are_not_waited_for(laid: PackedLab) -> None:
    for size in (10, 20, 30):
        await laid.append("read", size)
    entries = await laid.read("add", "read", 3)
    await laid.settle("add", "read", *entries)
    # As Redis 7.0 has it after a stream's slot has moved.
    last = entries[-1].id
    await laid.redis("XGROUP", "SETID", laid.key("read"), "add", last, "ENTRIESREAD", "1")

    state = await read_state(laid.client, laid.graph)

    assert [group.lag for group in await laid.client.group_info(laid.key("read"))] == [2]
    assert (state.stages["add"].lag, state.stages["add"].idle, state.drained) == (0, True, True)
    assert state.backlog[laid.key("read")] == 0


async def test_status_and_plan_tell_the_same_records(laid: PackedLab) -> None:
    await laid.append("read", 30)
    await laid.append("read", 30)
    await laid.read("add", "read", 1)

    found = await stage(laid, "add")
    past = await read_past(laid.client, laid.pipeline)

    assert (found.lag, found.pending) == (30, 30)
    assert str(past.holdings["add"]) == "30 waiting, 30 pending"


async def test_the_slowest_reader_decides_what_a_stream_holds(lab: PackedLab) -> None:
    lab.spec(
        f"""
        {READ}
        add: {{from: read, map: {{m: "n + 1"}}}}
        mul: {{from: read, map: {{m: "n * 2"}}}}
        out: {{from: [add, mul], sink: {{type: jsonl, path: out/all.jsonl}}}}
        """
    )
    await provision.lay(lab.client, lab.graph)
    await lab.append("read", 100)
    (entry,) = await lab.read("add", "read", 1)
    await lab.settle("add", "read", entry)

    state = await read_state(lab.client, lab.graph)

    assert state.backlog[lab.key("read")] == 100
    assert state.stages["add"].idle
    assert state.stages["mul"].lag == 100


async def test_room_shrinks_by_what_all_writers_appended_since_the_look(laid: PackedLab) -> None:
    await laid.append("read", 700)
    state = await read_state(laid.client, laid.graph)
    field = appended(laid.key("read"))

    assert room(state, laid.graph, "read", {}) == 10_000 - 700
    assert room(state, laid.graph, "read", {field: 1_700}) == 10_000 - 1_700
    assert room(state, laid.graph, "read", {field: 600}) == 10_000 - 700, "a total from before the look"
    assert room(state, laid.graph, "out", {}) == 10_000


async def test_retries_that_wait_take_room(laid: PackedLab) -> None:
    await laid.append("read", 100)
    await laid.redis("ZADD", laid.key("add:retry"), "1", "a", "1", "b")

    state = await read_state(laid.client, laid.graph)

    assert state.backlog[laid.key("read")] == 102
    assert room(state, laid.graph, "read", {appended(laid.key("read")): 150}) == 10_000 - 152


async def test_what_an_earlier_release_left_is_counted_once(lab: PackedLab) -> None:
    await provision.lay(lab.client, lab.graph)
    for size in (1, 60, 60):
        await lab.append("read", size)
    (entry, _) = await lab.read("add", "read", 2)
    await lab.redis("XACK", lab.key("read"), "add", entry.id)
    await lab.redis("HDEL", lab.key("meta"), appended(lab.key("read")), settled("add", lab.key("read")))

    await provision.lay(lab.client, lab.graph)

    add = (await read_state(lab.client, lab.graph)).stages["add"]
    assert (add.lag, add.pending) == (60, 60)
    assert await lab.field(settled("add", lab.key("read"))) == "-120"


async def test_two_runs_that_begin_at_once_count_once(lab: PackedLab) -> None:
    await provision.lay(lab.client, lab.graph)
    for _ in range(200):
        await lab.append("read", 3)
    await lab.redis("HDEL", lab.key("meta"), settled("add", lab.key("read")))

    await asyncio.gather(begin(lab.client, lab.graph), begin(lab.client, lab.graph), lab.append("read", 5))

    assert (await read_state(lab.client, lab.graph)).stages["add"].lag == 605


async def test_a_count_that_somebody_made_wrong_by_hand_is_mended_once_the_stage_is_idle(
    laid: PackedLab,
) -> None:
    await laid.append("read", 100)
    await laid.redis("XTRIM", laid.key("read"), "MAXLEN", "0")
    assert (await read_state(laid.client, laid.graph)).backlog[laid.key("read")] == 0

    await provision.lay(laid.client, laid.graph)
    await laid.append("read", 7)

    assert (await read_state(laid.client, laid.graph)).stages["add"].lag == 7


async def test_a_count_that_was_made_wrong_by_hand_while_a_run_is_up_is_mended_by_the_next_trim(
    laid: PackedLab,
) -> None:
    await laid.append("read", 100)
    await laid.redis("XTRIM", laid.key("read"), "MAXLEN", "0")

    await Retention(laid.client, laid.graph).trim()
    await laid.append("read", 7)

    found = await read_state(laid.client, laid.graph)
    assert (found.stages["add"].lag, found.backlog[laid.key("read")]) == (7, 7)


async def test_a_trim_leaves_the_count_of_what_is_still_to_do(laid: PackedLab) -> None:
    await laid.append("read", 100)
    before = await laid.field(settled("add", laid.key("read")))

    await Retention(laid.client, laid.graph).trim()

    assert await laid.field(settled("add", laid.key("read"))) == before
    assert (await read_state(laid.client, laid.graph)).stages["add"].lag == 100


async def test_a_group_that_was_lost_and_made_again_is_counted_from_where_it_begins(laid: PackedLab) -> None:
    for size in (10, 20, 30):
        await laid.append("read", size)
    (first, second) = await laid.read("add", "read", 2)
    await laid.settle("add", "read", first, second)
    await laid.redis("XGROUP", "DESTROY", laid.key("read"), "add")
    with pytest.raises(GroupLostError):
        await provision.lay(laid.client, laid.graph)

    told = await lost_place(laid.client, laid.graph, laid.key("read"), "add")
    await laid.redis("XGROUP", "CREATE", laid.key("read"), "add", first.id)
    await provision.lay(laid.client, laid.graph)

    assert "repeat all it still holds, 60 records" in str(told)
    assert (await read_state(laid.client, laid.graph)).stages["add"].lag == 50


async def test_a_stage_put_in_between_takes_the_count_over(laid: PackedLab) -> None:
    for size in (10, 20, 30):
        await laid.append("read", size)
    (first, _) = await laid.read("add", "read", 2)
    await laid.settle("add", "read", first)
    laid.spec(BETWEEN)

    await change_over(laid.client, laid.graph, Presence(laid.client, laid.pipeline))
    await provision.lay(laid.client, laid.graph)

    state = await read_state(laid.client, laid.graph)
    assert state.stages["mid"].backlog == 50
    assert state.stages["add"].backlog == 0
    assert await laid.field(settled("add", laid.key("read"))) is None


async def test_what_is_moved_into_a_stages_own_stream_is_one_record_an_entry(laid: PackedLab) -> None:
    await laid.append("read", 3)
    await laid.append("read", 4, headers={0: {"tenant": "a"}})
    await laid.read("add", "read", 1)
    laid.spec(
        f"""
        {READ}
        more: {{source: {{type: jsonl, path: 'more/*.jsonl'}}}}
        other: {{from: read, map: {{k: n}}}}
        add: {{from: more, map: {{m: "n + 1"}}}}
        out: {{from: [other, add], sink: {{type: jsonl, path: out/all.jsonl}}}}
        """
    )

    await change_over(laid.client, laid.graph, Presence(laid.client, laid.pipeline))
    await provision.lay(laid.client, laid.graph)

    moved = [fields for _, fields in await laid.entries(laid.key("add:again"))]
    assert [fields["rsq-rid"] for fields in moved] == [f"read:{n}" for n in range(7)]
    assert all("rsq-pack" not in fields for fields in moved)
    assert [fields.get("tenant") for fields in moved] == [None] * 3 + ["a"] + [None] * 3
    state = await read_state(laid.client, laid.graph)
    assert (state.stages["add"].backlog, state.stages["other"].backlog) == (7, 0)


async def test_a_renamed_stage_keeps_its_counts(laid: PackedLab) -> None:
    await laid.append("read", 10)
    await laid.append("add", 20)
    laid.spec(CHAIN.replace("add:", "plus:"))

    await rename(laid.client, laid.graph, "add", "plus")
    await provision.lay(laid.client, laid.graph)

    state = await read_state(laid.client, laid.graph)
    assert (state.stages["plus"].lag, state.stages["out"].lag) == (10, 20)
    assert await laid.field(appended(laid.key("add"))) is None
    assert await laid.field(appended(laid.key("plus"))) == "20"


async def test_a_stage_that_is_given_up_is_exported_record_by_record(laid: PackedLab, tmp_path: Path) -> None:
    await laid.append("add", 20)
    await laid.append("add", 30)
    await laid.read("out", "add", 1)
    laid.spec(CHAIN.replace("out:", "end:"))

    gone = await discard(laid.client, laid.graph, "out", tmp_path / "out.jsonl")
    await change_over(laid.client, laid.graph, Presence(laid.client, laid.pipeline))
    await provision.lay(laid.client, laid.graph)

    assert gone.exported == 50
    assert str(gone.held) == "25 waiting, 25 pending", "of two packs one is pending"
    assert gone.file.read_text().splitlines()[49].endswith('"payload": {"n": 49}}')
    assert (await read_state(laid.client, laid.graph)).stages["end"].backlog == 0


async def test_prune_takes_the_counts_of_a_gone_stage_along(laid: PackedLab) -> None:
    await laid.append("add", 20)
    (entry,) = await laid.read("out", "add", 1)
    await laid.settle("out", "add", entry)
    await laid.redis("HSET", laid.key("meta"), "add:in", "20")
    laid.spec(f"{READ}\nout: {{sink: {{type: jsonl, path: out/all.jsonl}}}}\n")
    await change_over(laid.client, laid.graph, Presence(laid.client, laid.pipeline))
    await provision.lay(laid.client, laid.graph)

    pruned = await prune(laid.client, laid.graph)

    assert pruned.stages == ("add",)
    left = [field.decode() for field in await laid.redis("HKEYS", laid.key("meta"))]
    counts = [field for field in left if field.startswith(("settled:", "appended:"))]
    assert counts == [settled("out", laid.key("read"))]


async def test_fresh_begins_to_count_at_nothing(laid: PackedLab) -> None:
    await laid.append("read", 100)

    presence = Presence(laid.client, laid.pipeline)
    await presence.show()
    await provision.clear(laid.client, laid.graph, presence)
    await provision.lay(laid.client, laid.graph)

    assert (await read_state(laid.client, laid.graph)).backlog[laid.key("read")] == 0
    assert await laid.field(appended(laid.key("read"))) is None


async def stage(lab: PackedLab, name: str) -> StageStatus:
    status = await read_status(lab.client, lab.graph)
    return next(stage for stage in status.stages if stage.name == name)


async def test_after_a_run_with_failures_every_record_that_was_appended_is_settled(lab: PackedLab) -> None:
    lab.records(range(2_000))
    lab.handlers(
        """
        failed = set()

        def shaky(record):
            if record["n"] % 100 == 7:
                raise ValueError("never")
            if record["n"] % 50 == 3 and record["n"] not in failed:
                failed.add(record["n"])
                raise ValueError("not yet")
            return [record, record] if record["n"] % 2 else None
        """
    )
    lab.spec(
        f"""
        {READ}
        shaky: {{call: "handlers:shaky", retry: {{attempts: 2, backoff: {{first: 10ms}}}}}}
        route: {{route: [{{to: low, when: n < 1000}}, {{to: high, otherwise: true}}], fuse: false}}
        low: {{from: route.low, map: {{m: n}}, fuse: false}}
        out: {{from: [low, route.high], sink: {{type: jsonl, path: out/all.jsonl}}}}
        """
    )

    await lab.run()

    fields = await lab.redis("HGETALL", lab.key("meta"))
    table = {name.decode(): value for name, value in zip(fields[::2], fields[1::2], strict=True)}
    counts = {name: int(value) for name, value in table.items() if name.startswith(("appended:", "settled:"))}
    assert counts == {
        appended(lab.key("read")): 2_000,
        settled("shaky", lab.key("read")): 2_000,
        appended(lab.key("shaky")): 2 * (1_000 - 20),
        settled("route", lab.key("shaky")): 2 * (1_000 - 20),
        appended(lab.key("route.low")): 980,
        settled("low", lab.key("route.low")): 980,
        appended(lab.key("low")): 980,
        settled("out", lab.key("low")): 980,
        appended(lab.key("route.high")): 980,
        settled("out", lab.key("route.high")): 980,
    }


async def test_packs_that_came_back_from_a_worker_that_is_gone_are_counted_once(laid: PackedLab) -> None:
    laid.records([])
    for _ in range(3):
        await laid.append("read", 10)
    await laid.read("add", "read", 2, consumer=name_of_the_dead("add"))

    await laid.run()

    assert laid.numbers("out/all.jsonl") == list(range(30))
    assert await laid.field(settled("add", laid.key("read"))) == "30"
    assert room(await read_state(laid.client, laid.graph), laid.graph, "read", {}) == 10_000


async def test_what_a_worker_that_is_gone_had_in_hand_is_told_in_records(laid: PackedLab) -> None:
    for _ in range(3):
        await laid.append("read", 10)
    await laid.read("add", "read", 2, consumer=name_of_the_dead("add"))

    assert await provision.inherit(laid.client, laid.graph) == {"add": 20}
    assert await provision.inherit(laid.client, laid.graph) == {}, "what is free is not taken over once more"
