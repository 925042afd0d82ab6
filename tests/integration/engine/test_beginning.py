"""A run that begins fences before it acts: it moves, makes and deletes nothing under another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rsq_pipe.engine.changes import provision
from rsq_pipe.engine.changes.beginning import begin
from rsq_pipe.engine.ownership.presence import SECONDS, Presence
from rsq_pipe.engine.state import state_keys
from rsq_pipe.errors import PipelineBusyError
from rsq_pipe.ops.rename import rename
from rsq_pipe.streams.settlement import Output, Position
from tests.integration.engine.lab import READ, Lab
from tests.support.signals import wait_until

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"
PLAIN = f"{READ}\n{OUT}"
OLD = f"{READ}\nslow: {{map: {{m: n}}}}\n{OUT}"
NEW = OLD.replace("slow:", "sluggish:")


async def paused(lab: Lab, presence: Presence) -> None:
    """Have a process that began look as one does that has been paused for too long since."""
    before = await lab.redis("ZSCORE", lab.key("meta:runs"), presence.name)
    await lab.redis("ZADD", lab.key("meta:runs"), float(before) - 2 * SECONDS, presence.name)


async def test_a_run_that_was_paused_while_it_began_makes_no_group_of_what_was_renamed_since(
    lab: Lab,
) -> None:
    lab.records(range(20))
    lab.spec(OLD, top="keep: 1h")
    await lab.run()
    old = lab.graph
    late = Presence(lab.client, lab.pipeline, old.spec_hash)
    await late.show()
    seen = await provision.last_graph(lab.client, old)
    await paused(lab, late)
    lab.spec(NEW, top="keep: 1h")
    await rename(lab.client, lab.graph, "slow", "sluggish")
    await lab.run()

    laid = await provision.lay(lab.client, old, late, seen)

    assert not laid
    assert [info.name for info in await lab.client.group_info(lab.key("read"))] == ["sluggish"]

    await begin(lab.client, old, late)  # it looks again, and slow begins where sluggish has been
    lab.spec(OLD, top="keep: 1h")
    await lab.run()
    assert lab.numbers("out/all.jsonl") == list(range(20))


async def test_a_run_looks_again_where_a_stage_was_renamed_while_it_began(lab: Lab) -> None:
    lab.records(range(20))
    lab.spec(OLD, top="keep: 1h")
    await lab.run()
    old = lab.graph
    lab.spec(NEW, top="keep: 1h")
    seen = await provision.last_graph(lab.client, old)
    await rename(lab.client, lab.graph, "slow", "sluggish")  # which looked for others just before these two
    other = Presence(lab.client, lab.pipeline, old.spec_hash)
    await other.show()

    assert not await provision.lay(lab.client, old, other, seen)

    assert [info.name for info in await lab.client.group_info(lab.key("read"))] == ["sluggish"]


async def test_fresh_deletes_what_a_run_stores_in_one_step_whole_or_not_at_all(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.records(range(20))
    lab.spec(PLAIN)
    await lab.run()
    monkeypatch.setattr(state_keys, "SCAN", 10)
    await lab.client.channel.exchange(  # of others, so that the pipeline's keys are on several pages
        [["SET", f"{lab.pipeline}-other-{n}", "1", "PX", 60_000] for n in range(300)], key=lab.key("meta")
    )
    meta, field = lab.key("meta"), "position:read:in.jsonl"
    execute = lab.client.channel.execute

    async def with_a_source_that_woke_up(*command: Any, **settings: Any) -> Any:
        reply = await execute(*command, **settings)
        if command[0] == "SCAN":
            stored = (await execute("HGET", meta, field, key=meta) or b"").decode()
            position = Position(meta, field, stored, f"{stored}+")
            await lab.client.ingest(position, [Output(lab.key("read"), ["data", "{}"])])
        return reply

    monkeypatch.setattr(lab.client.channel, "execute", with_a_source_that_woke_up)
    presence = Presence(lab.client, lab.pipeline)
    await presence.show()
    await provision.clear(lab.client, lab.graph, presence)
    monkeypatch.undo()

    assert await lab.redis("HGET", meta, field) is None
    assert await lab.redis("XLEN", lab.key("read")) == 0


async def test_fresh_deletes_nothing_under_a_run_that_began_while_it_looked(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.records(range(20))
    lab.spec(PLAIN)
    await lab.run()
    fresh, other = Presence(lab.client, lab.pipeline), Presence(lab.client, lab.pipeline)
    await fresh.show()
    execute = lab.client.channel.execute

    async def with_a_run_that_begins(*command: Any, **settings: Any) -> Any:
        if command[0] == "SCAN":
            await other.show()
        return await execute(*command, **settings)

    monkeypatch.setattr(lab.client.channel, "execute", with_a_run_that_begins)
    with pytest.raises(PipelineBusyError, match=other.name):
        await provision.clear(lab.client, lab.graph, fresh)

    assert await lab.redis("HGET", lab.key("meta"), "out:in") == b"20"


async def test_epochs_of_leases_outlast_fresh_so_that_a_writer_from_before_stays_fenced_off(lab: Lab) -> None:
    lab.records(range(20))
    lab.spec(PLAIN)
    epochs = []
    for _ in range(3):
        await lab.run(fresh=True)
        stored = await lab.redis("HGET", lab.key("meta"), "position:out:out/all.jsonl")
        epochs.append(int(stored.partition(b"|")[0]))

    assert epochs == sorted(set(epochs))


async def test_runs_see_each_other_on_a_full_server_too(own_lab: Lab) -> None:
    own_lab.records(range(20))
    own_lab.spec(PLAIN)
    await own_lab.run()
    await own_lab.redis("CONFIG", "SET", "maxmemory", "1mb")
    other = await own_lab.up(stages=["out"])

    with pytest.raises(PipelineBusyError):
        await own_lab.run(fresh=True)

    await other.stop()


async def test_a_changed_file_begins_on_a_full_server_too(own_lab: Lab) -> None:
    own_lab.records(range(20))
    own_lab.spec(OLD)
    await own_lab.run()
    await own_lab.redis("CONFIG", "SET", "maxmemory", "1mb")
    own_lab.spec(OLD.replace("m: n", "m: n + 1"))

    run = await own_lab.up()

    assert not run.task.done()
    await own_lab.redis("CONFIG", "SET", "maxmemory", "0")
    assert (await run.ended()).finished


async def test_a_sink_stores_its_fence_on_a_full_server_and_the_writer_before_it_commits_no_more(
    own_lab: Lab,
) -> None:
    own_lab.records(range(20))
    own_lab.spec(PLAIN)
    await own_lab.run()
    meta, field = own_lab.key("meta"), "position:out:out/all.jsonl"
    before = (await own_lab.redis("HGET", meta, field)).decode()
    await own_lab.redis("CONFIG", "SET", "maxmemory", "1mb")

    run = await own_lab.up(stages=["out"])
    after = await settled_epoch(own_lab, field, beyond=int(before.partition("|")[0]))

    await run.stop()
    assert after.partition("|")[2] == before.partition("|")[2]
    late = await own_lab.client.ingest(Position(meta, field, before, f"{before}0"), ())
    assert late.refused == after


async def settled_epoch(lab: Lab, field: str, *, beyond: int) -> str:
    found: Sequence[str] = ()

    async def stored() -> bool:
        nonlocal found
        text = (await lab.redis("HGET", lab.key("meta"), field)).decode()
        found = (text,)
        return int(text.partition("|")[0]) > beyond

    await wait_until(stored, what="the next writer has stored its epoch")
    return found[0]
