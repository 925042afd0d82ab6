"""The status of pipelines on real servers: what waits, who works, what is lost; looking changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.cli.output.status_table import remarks
from rsq_pipe.engine.changes import provision
from rsq_pipe.engine.failures import last_failure
from rsq_pipe.engine.failures.last_failure import LastFailure
from rsq_pipe.errors import SettleError, SinkError
from rsq_pipe.ops.bounds import Bounds
from rsq_pipe.ops.hold import pause
from rsq_pipe.ops.stage_status import StageStatus
from rsq_pipe.ops.status import PipelineStatus, read_status
from tests.integration.engine.lab import READ, Lab
from tests.integration.engine.leftovers import name_of_the_dead
from tests.support.server import StreamServer
from tests.support.signals import wait_until

PLAIN = f"""
    {READ}
    add: {{map: {{m: "n + 1"}}}}
    out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
"""
OUTSIDE = """
    add: {from: {stream: NAME}, map: {m: "n + 1"}}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""


async def test_a_server_that_has_become_a_replica_refuses_writes_and_drained_is_nothing(
    own_server: StreamServer, name: str, tmp_path: Path
) -> None:
    own_lab = Lab(tmp_path, name, own_server.url)
    own_lab.spec("out: {from: {stream: in}, sink: {type: jsonl, path: out/all.jsonl}}")
    run = await own_lab.up()

    await own_lab.redis("REPLICAOF", "127.0.0.1", "1")
    status = await read_status(own_lab.client, own_lab.graph)

    assert status.runs
    assert not status.drained, "what a source holds cannot be seen"
    (breach,) = Bounds().breaches(status)
    assert breach.bound == "refusal"
    assert (
        "READONLY it is a replica of 127.0.0.1:1. Make it the primary again, or name that with" in breach.text
    )
    await own_lab.redis("REPLICAOF", "NO", "ONE")
    assert (await read_status(own_lab.client, own_lab.graph)).refusal == ""
    await run.stop()
    await own_lab.close()


async def test_a_server_that_misses_replicas_is_shown_as_refusing_writes(
    own_server: StreamServer, name: str, tmp_path: Path
) -> None:
    own_lab = Lab(tmp_path, name, own_server.url)
    own_lab.spec("out: {from: {stream: in}, sink: {type: jsonl, path: out/all.jsonl}}")
    run = await own_lab.up()

    await own_lab.redis("CONFIG", "SET", "min-replicas-to-write", "2")
    status = await read_status(own_lab.client, own_lab.graph)

    assert not status.drained
    (breach,) = Bounds().breaches(status)
    assert breach.bound == "refusal"
    assert "NOREPLICAS it has 0 of the 2 replicas that min-replicas-to-write asks for" in breach.text
    assert "Start the replicas that are missing" in breach.text
    await own_lab.redis("ACL", "SETUSER", "default", "-config")
    assert "none of the replicas" in (await read_status(own_lab.client, own_lab.graph)).refusal
    await own_lab.redis("ACL", "SETUSER", "default", "+config")
    await own_lab.redis("CONFIG", "SET", "min-replicas-to-write", "0")
    assert (await read_status(own_lab.client, own_lab.graph)).refusal == ""
    await run.stop()
    await own_lab.close()


@pytest.fixture
async def waiting(lab: Lab) -> Lab:
    """A pipeline that has been laid out, with five entries before its stage `add` and nobody at work."""
    lab.spec(PLAIN)
    await provision.lay(lab.client, lab.graph)
    for number in range(5):
        await lab.redis("XADD", lab.key("read"), "*", "data", f'{{"n": {number}}}')
    return lab


async def stage(lab: Lab, name: str) -> StageStatus:
    status = await read_status(lab.client, lab.graph)
    return next(stage for stage in status.stages if stage.name == name)


async def keys(lab: Lab) -> dict[bytes, bytes]:
    """Read every key of the pipeline, with all that is in it."""
    found = await lab.redis("KEYS", lab.key("*").replace("{", "[{]"))
    # DUMP lists a hash in the order of the moment.
    hashes = {key for key in found if await lab.redis("TYPE", key) == b"hash"}
    return {
        key: b"".join(
            sorted(await lab.redis("HGETALL", key)) if key in hashes else [await lab.redis("DUMP", key)]
        )
        for key in found
    }


async def test_times_that_lie_in_the_future_are_told_after_the_servers_clock_was_set_back(lab: Lab) -> None:
    lab.spec(PLAIN)
    await provision.lay(lab.client, lab.graph)
    await lab.redis("XADD", lab.key("read"), "*", "data", "{}")
    read = ("XREADGROUP", "GROUP", "add", "w", "STREAMS", lab.key("read"), ">")
    await lab.redis(*read)
    assert (await read_status(lab.client, lab.graph)).ahead_seconds == 0

    # An entry as it was written when the clock was an hour ahead.
    seconds, _ = await lab.redis("TIME")
    await lab.redis("XADD", lab.key("read"), f"{(int(seconds) + 3_600) * 1000}-0", "data", "{}")
    await lab.redis(*read)
    status = await read_status(lab.client, lab.graph)

    assert status.ahead_seconds == pytest.approx(3_600, abs=60)
    (told,) = (line.plain for line in remarks(status) if "clock" in line.plain)
    assert "Stored times lie up to " in told


async def test_a_pipeline_that_never_ran_says_so_and_looking_creates_nothing(lab: Lab) -> None:
    lab.spec(PLAIN)

    status = await read_status(lab.client, lab.graph)

    assert not status.ran
    assert [stage.state for stage in status.stages] == ["new"] * 3
    assert await keys(lab) == {}


async def test_a_run_that_works_for_a_while_forgets_what_ended_the_one_before(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.spec(PLAIN)
    await provision.lay(lab.client, lab.graph)
    ended = LastFailure(lab.client, lab.graph)
    await ended.ends(SinkError("the disk is full"), finished=False)
    failed = (await read_status(lab.client, lab.graph)).failed
    assert failed is not None
    assert failed.why == "the disk is full"

    next_run = LastFailure(lab.client, lab.graph)
    await next_run.forget()
    await next_run.ends(None, finished=False)
    assert (await read_status(lab.client, lab.graph)).failed is not None

    monkeypatch.setattr(last_failure, "HEALTHY", 0.0)
    await next_run.forget()
    assert (await read_status(lab.client, lab.graph)).failed is None


async def test_a_process_that_ends_well_keeps_what_ended_another_of_the_same_run(lab: Lab) -> None:
    lab.spec(PLAIN)
    await provision.lay(lab.client, lab.graph)
    await LastFailure(lab.client, lab.graph).ends(SinkError("the disk is full"), finished=False)

    await LastFailure(lab.client, lab.graph).ends(None, finished=True, beside=True)
    failed = (await read_status(lab.client, lab.graph)).failed
    assert failed is not None
    assert failed.why == "the disk is full"

    await LastFailure(lab.client, lab.graph).ends(None, finished=True)
    assert (await read_status(lab.client, lab.graph)).failed is None


async def test_what_another_release_wrote_of_a_failed_run_is_passed_over(lab: Lab) -> None:
    lab.spec(PLAIN)
    await provision.lay(lab.client, lab.graph)
    await lab.redis("HSET", lab.key("meta"), "failed", "on Monday")

    assert (await read_status(lab.client, lab.graph)).failed is None


async def test_looking_changes_nothing_of_what_waits(waiting: Lab) -> None:
    before = await keys(waiting)

    await read_status(waiting.client, waiting.graph)

    assert await keys(waiting) == before
    assert len(before) > 1


async def test_a_finished_pipeline_is_drained_and_counted(lab: Lab) -> None:
    lab.records(range(30))
    lab.spec(PLAIN)
    await lab.run()

    status = await read_status(lab.client, lab.graph)

    assert (status.ran, status.changed, status.drained, status.runs) == (True, False, True, ())
    assert [(stage.name, stage.done, stage.alive) for stage in status.stages] == [
        ("read", 30, 0),
        ("add", 30, 0),
        ("out", 30, 0),
    ]


async def test_what_nobody_was_given_is_lag_and_has_an_age(waiting: Lab) -> None:
    seen = await stage(waiting, "add")

    assert (seen.lag, seen.pending, seen.alive, seen.gone) == (5, 0, 0, 0)
    assert seen.oldest_seconds is not None
    assert 0 <= seen.oldest_seconds < 30
    assert seen.oldest_pending_seconds is None


async def test_what_a_dead_worker_had_in_hand_is_pending_and_the_worker_gone(waiting: Lab) -> None:
    dead = name_of_the_dead("add")
    await waiting.redis("XREADGROUP", "GROUP", "add", dead, "COUNT", 3, "STREAMS", waiting.key("read"), ">")

    seen = await stage(waiting, "add")

    assert (seen.lag, seen.pending, seen.alive, seen.gone) == (2, 3, 0, 1)
    assert seen.oldest_pending_seconds == seen.oldest_seconds


async def test_a_dead_worker_whose_records_others_have_done_is_nobodys_concern(waiting: Lab) -> None:
    dead = name_of_the_dead("add")
    await waiting.redis("XREADGROUP", "GROUP", "add", dead, "COUNT", 3, "STREAMS", waiting.key("read"), ">")
    waiting.records(range(5, 8))
    await waiting.run()

    seen = await stage(waiting, "add")

    assert (seen.lag, seen.pending, seen.alive, seen.gone) == (0, 0, 0, 0)


SLOW_END = """
    read: {source: {type: jsonl, path: in.jsonl}}
    same: {select: [n]}
    out: {fuse: false, sink: {type: jsonl, path: out.jsonl}}
"""


async def test_a_running_pipeline_shows_its_process_its_consumers_and_its_rate(lab: Lab) -> None:
    lab.records(range(30))
    lab.spec(OUTSIDE.replace("NAME", f"{lab.pipeline}-in"))
    lab.start()

    async def at_work() -> PipelineStatus | None:
        status = await read_status(lab.client, lab.graph)
        return status if status.runs and all(stage.alive for stage in status.stages) else None

    before = await wait_until(at_work, what="both stages have consumers")
    for number in range(40):
        await lab.redis("XADD", f"{lab.pipeline}-in", "*", "data", f'{{"n": {number}}}')
    await wait_until(lambda: len(lab.lines_so_far()) == 40, what="40 records are written")

    async def counted() -> PipelineStatus | None:
        status = await read_status(lab.client, lab.graph)
        return status if status.drained else None

    after = await wait_until(counted, what="the last batch is settled")
    assert before is not None
    assert after is not None
    after = after.since(before)
    assert len(after.runs) == 1
    assert all(stage.rate and stage.rate > 0 for stage in after.stages)
    assert [stage.done for stage in after.stages] == [40, 40]


async def test_a_stage_without_room_below_names_the_stage_it_waits_for(lab: Lab) -> None:
    lab.records(range(300))
    lab.spec(SLOW_END, top="max_backlog: 100")
    await provision.lay(lab.client, lab.graph)
    await pause(lab.client, lab.graph, "out", "by hand")
    lab.start()

    async def held() -> PipelineStatus | None:
        status = await read_status(lab.client, lab.graph)
        return status if any(stage.waits_for for stage in status.stages) else None

    status = await wait_until(held, what="the stage above waits")
    assert status is not None
    found = {stage.name: stage.waits_for for stage in status.stages}
    assert found == {"read": ("out",), "same": ("out",), "out": ()}
    said = "\n".join(map(str, remarks(status)))
    assert "same waits for out, which has `max_backlog` records before it" in said


async def test_dead_letters_are_counted_by_stage_and_pass_their_bound(lab: Lab) -> None:
    lab.records(range(10))
    lab.spec(
        f'{READ}\nodd: {{map: {{m: "1 / (n % 2)"}}}}\nout: {{sink: {{type: jsonl, path: out/all.jsonl}}}}'
    )
    await lab.run()

    status = await read_status(lab.client, lab.graph)

    assert {stage.name: stage.dead for stage in status.stages} == {"read": 0, "odd": 5, "out": 0}
    (breach,) = Bounds(dlq=4).breaches(status)
    assert (breach.bound, breach.stage, breach.seen) == ("max-dlq", "odd", 5)


async def test_a_lag_the_server_cannot_tell_is_unknown_and_bounded_by_the_stream(waiting: Lab) -> None:
    key = waiting.key("read")
    await waiting.redis("XREADGROUP", "GROUP", "add", "one", "COUNT", 1, "STREAMS", key, ">")
    ids = [entry_id for entry_id, _ in await waiting.entries(key)]
    await waiting.redis("XDEL", key, ids[3])

    seen = await stage(waiting, "add")

    assert (seen.lag, seen.lag_at_most) == (None, 4)
    assert [
        breach.bound for breach in Bounds(lag=3).breaches(await read_status(waiting.client, waiting.graph))
    ] == ["max-lag"]


async def test_a_destroyed_group_is_lost_and_a_breach_of_its_own(waiting: Lab) -> None:
    await waiting.redis("XGROUP", "DESTROY", waiting.key("read"), "add")

    status = await read_status(waiting.client, waiting.graph)

    assert [stage.state for stage in status.stages] == ["ok", "lost", "ok"]
    assert [(breach.bound, breach.stage) for breach in Bounds().breaches(status)] == [("lost", "add")]


async def test_a_stage_added_since_the_last_run_is_new_and_has_all_of_its_stream_before_it(
    waiting: Lab,
) -> None:
    waiting.spec(PLAIN + '    more: {from: read, map: {m: "n"}}\n')

    seen = await stage(waiting, "more")

    assert (seen.state, seen.lag) == ("new", 5)
    assert (await read_status(waiting.client, waiting.graph)).changed


async def test_a_key_that_holds_something_else_is_named_with_what_it_should_hold(lab: Lab) -> None:
    lab.spec(PLAIN)
    await lab.redis("SET", lab.key("add:retry"), "a string")

    with pytest.raises(
        SettleError, match=r":add:retry' holds a string, and pipeline '.*' needs a zset there"
    ):
        await read_status(lab.client, lab.graph)
