"""A stage that is renamed takes everything along, in one step."""

from __future__ import annotations

import pytest

from rsq_pipe.engine.changes.changeover import plan
from rsq_pipe.errors import PipelineBusyError, SettleError, UnknownStageError
from rsq_pipe.ops.dead_letters.dead_letters import find
from rsq_pipe.ops.doctor.checkup import examine
from rsq_pipe.ops.hold import pause, resume
from rsq_pipe.ops.rename import rename
from rsq_pipe.ops.status import read_status
from tests.integration.engine.lab import Lab
from tests.integration.engine.leftovers import CHAIN, DEAD, PATIENT, RETRIED, leave

RENAMED = CHAIN.replace("slow:", "sluggish:", 1)


async def keys(lab: Lab) -> list[str]:
    found = await lab.redis("KEYS", lab.key("*").replace("{", "[{]"))
    return sorted(key.decode() for key in found)


async def make_retries_due(lab: Lab, stage: str) -> None:
    key = lab.key(f"{stage}:retry")
    for member in await lab.redis("ZRANGE", key, 0, -1):
        await lab.redis("ZADD", key, "XX", 0, member)


async def test_backlog_pending_retries_dead_letters_and_counters_move_along(lab: Lab) -> None:
    await leave(lab)
    lab.spec(RENAMED, defaults=PATIENT, top="serializer: json")

    assert await rename(lab.client, lab.graph, "slow", "sluggish")

    after = await plan(lab.client, lab.graph)
    stage = next(change for change in after.stages if change.stage == "sluggish")
    assert not after.differs
    assert (stage.holds.lag, stage.holds.pending, stage.holds.retry, stage.holds.dead) == (
        15,
        5,
        RETRIED,
        DEAD,
    )
    assert [key for key in await keys(lab) if ":slow" in key] == []
    fields = [field.decode() for field in await lab.redis("HKEYS", lab.key("meta"))]
    assert [
        field for field in fields if "slow" in field.replace("slow", "slow") and "sluggish" not in field
    ] == []
    assert await lab.redis("HGET", lab.key("meta"), "sluggish:dead") == b"2"


async def test_a_run_after_a_rename_loses_nothing_and_repeats_nothing(lab: Lab) -> None:
    await leave(lab)
    lab.spec(RENAMED, defaults=PATIENT)
    await rename(lab.client, lab.graph, "slow", "sluggish")
    await make_retries_due(lab, "sluggish")

    summary = await lab.run()

    assert lab.numbers("out/all.jsonl") == [n for n in range(40) if n % 10 != 1]
    assert summary.dead_letters == DEAD + 2
    letters = [
        letter
        async for page in (await find(lab.client, lab.pipeline, lab.graph)).pages()
        for letter in page.letters
    ]
    assert {letter.stage for letter in letters} == {"sluggish"}


async def test_a_source_and_a_sink_keep_their_positions(lab: Lab) -> None:
    lab.records(range(30))
    lab.handlers("def slow(record): return record")
    lab.spec(CHAIN)
    await lab.run()
    lab.records(range(30, 40))
    lab.spec(CHAIN.replace("read:", "load:", 1).replace("out:", "write:", 1))

    await rename(lab.client, lab.graph, "read", "load")
    await rename(lab.client, lab.graph, "out", "write")
    summary = await lab.run()

    assert summary.stages["load"].emitted == 10
    assert lab.numbers("out/all.jsonl") == list(range(40))
    assert [key for key in await keys(lab) if "}:read" in key or "}:out" in key] == []


async def test_a_stage_that_is_paused_stays_paused_under_its_new_name(lab: Lab) -> None:
    await leave(lab, backlog=False)
    await pause(lab.client, lab.graph, "slow", "before")
    await resume(lab.client, lab.graph, "slow")
    await pause(lab.client, lab.graph, "slow", "its service is moved")
    lab.spec(RENAMED, defaults=PATIENT)

    await rename(lab.client, lab.graph, "slow", "sluggish")

    state = await lab.state()
    assert [hold.why for hold in state.held.values()] == ["its service is moved"]
    assert state.resumed == {"sluggish": 1}
    assert not [field for field in await lab.redis("HKEYS", lab.key("meta")) if b"paused:slow:" in field]


async def test_a_stage_that_was_paused_under_its_new_name_already_is_renamed_all_the_same(lab: Lab) -> None:
    await leave(lab, backlog=False)
    await pause(lab.client, lab.graph, "slow", "its service is moved")
    lab.spec(RENAMED, defaults=PATIENT)
    await pause(lab.client, lab.graph, "sluggish", "not before noon")

    assert await rename(lab.client, lab.graph, "slow", "sluggish")

    assert (await lab.state()).held["sluggish"].why == "not before noon"


async def test_the_same_rename_again_finds_it_done(lab: Lab) -> None:
    await leave(lab)
    lab.spec(RENAMED, defaults=PATIENT)
    await rename(lab.client, lab.graph, "slow", "sluggish")
    before = await lab.redis("HGETALL", lab.key("meta"))

    assert not await rename(lab.client, lab.graph, "slow", "sluggish")

    assert await lab.redis("HGETALL", lab.key("meta")) == before


async def test_a_new_name_that_holds_something_of_its_own_is_refused(lab: Lab) -> None:
    await leave(lab)
    await lab.redis("XADD", lab.key("sluggish:dlq"), "*", "data", "{}")
    lab.spec(RENAMED, defaults=PATIENT)
    before = await lab.redis("HGETALL", lab.key("meta"))

    with pytest.raises(SettleError, match="sluggish:dlq is there already"):
        await rename(lab.client, lab.graph, "slow", "sluggish")

    assert await lab.redis("HGETALL", lab.key("meta")) == before
    assert await lab.redis("XLEN", lab.key("slow:dlq")) == DEAD


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("add", "sluggish", "still has the stage 'add'"),
        ("slow", "slugish", "no stage 'slugish'; did you mean 'sluggish'"),
        ("slwo", "sluggish", "never ran with a stage 'slwo'; did you mean 'slow'"),
    ],
)
async def test_names_that_do_not_fit_are_told(lab: Lab, old: str, new: str, why: str) -> None:
    await leave(lab, backlog=False)
    lab.spec(RENAMED, defaults=PATIENT)

    with pytest.raises(UnknownStageError, match=why):
        await rename(lab.client, lab.graph, old, new)


async def test_a_stage_of_a_pipeline_that_never_ran_is_not_renamed_and_that_is_told(lab: Lab) -> None:
    lab.spec(RENAMED, defaults=PATIENT)

    with pytest.raises(UnknownStageError, match="it has not run there yet; leave --rename out"):
        await rename(lab.client, lab.graph, "slow", "sluggish")


async def test_nothing_is_renamed_under_a_run(lab: Lab) -> None:
    lab.handlers("def slow(record): return record")
    lab.records(range(3))
    lab.spec(CHAIN)
    running = await lab.up(stages=["out"])
    lab.spec(RENAMED)

    with pytest.raises(PipelineBusyError):
        await rename(lab.client, lab.graph, "slow", "sluggish")

    await running.stop()


async def test_status_shows_what_a_stage_holds_that_is_gone_and_does_not_say_drained(lab: Lab) -> None:
    await leave(lab)
    lab.spec(RENAMED, defaults=PATIENT)

    status = await read_status(lab.client, lab.graph)

    assert [(change.stage, change.holds.dead) for change in status.gone] == [("slow", DEAD)]
    assert not status.drained
    assert "stage 'slow' holds 15 waiting" in status.plan


async def test_the_doctor_warns_of_what_a_run_would_refuse(lab: Lab) -> None:
    await leave(lab)
    lab.spec(RENAMED, defaults=PATIENT)

    (finding,) = [found for found in await examine(lab.client, lab.graph) if found.check == "plan"]

    assert finding.level == "warning"
    assert "`run` refuses it" in finding.seen
