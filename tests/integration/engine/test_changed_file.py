"""A pipeline whose file has changed loses nothing and does nothing twice, or is refused."""

from __future__ import annotations

import pytest

from rsq_pipe.engine.changes.change import Plan, StageChange
from rsq_pipe.engine.changes.changeover import plan
from rsq_pipe.engine.changes.last_run import GRAPH
from rsq_pipe.errors import PipelineBusyError, PipelineChangedError
from tests.integration.engine.lab import READ, Lab
from tests.integration.engine.leftovers import CHAIN, DEAD, PATIENT, RETRIED, leave
from tests.support.signals import wait_until

RENAMED = CHAIN.replace("slow:", "sluggish:", 1)
IN_BETWEEN = CHAIN.replace("slow:", 'twice: {map: {m: "n * 2"}}\n    slow:', 1)
WITHOUT = f"""
    {READ}
    add: {{map: {{m: "n + 1"}}}}
    out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
"""


async def found(lab: Lab) -> Plan:
    return await plan(lab.client, lab.graph)


async def kinds(lab: Lab) -> dict[str, str]:
    return {change.stage: change.kind for change in (await found(lab)).stages if change.kind != "same"}


async def one(lab: Lab, stage: str) -> StageChange:
    return next(change for change in (await found(lab)).stages if change.stage == stage)


async def test_the_same_file_has_nothing_to_plan(lab: Lab) -> None:
    await leave(lab)

    nothing = await found(lab)

    assert not nothing.differs
    assert not nothing.moves
    assert not nothing.stranded


async def test_the_file_as_it_was_last_run_is_kept_without_its_secrets(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "hush-hush-hush")
    lab.records(range(3))
    lab.handlers("def slow(record): return record")
    lab.spec(CHAIN.replace('"handlers:slow"', '"handlers:slow", with: {token: "${secret:TOKEN}"}'))
    await lab.run()

    kept = (await lab.redis("HGET", lab.key("meta"), GRAPH)).decode()

    assert "${secret:TOKEN}" in kept
    assert "hush" not in kept


async def test_a_renamed_stage_is_guessed_and_what_it_holds_is_told(lab: Lab) -> None:
    await leave(lab)
    lab.spec(RENAMED, defaults=PATIENT)

    gone = await one(lab, "slow")

    assert (gone.kind, gone.heir) == ("renamed", "sluggish")
    assert (gone.holds.lag, gone.holds.pending) == (15, 5)
    assert (gone.holds.retry, gone.holds.dead) == (RETRIED, DEAD)
    assert (await one(lab, "add")).kind == "same"


@pytest.mark.parametrize("stages", [RENAMED, WITHOUT], ids=["renamed", "removed"])
async def test_a_run_that_would_strand_what_a_stage_holds_is_refused_and_changes_nothing(
    lab: Lab, stages: str
) -> None:
    await leave(lab)
    before = await lab.redis("HGETALL", lab.key("meta"))
    lab.spec(stages)

    with pytest.raises(PipelineChangedError, match="15 waiting, 5 pending, 2 to be retried, 2 dead letters"):
        await lab.run()

    assert await lab.redis("HGETALL", lab.key("meta")) == before


async def test_a_stage_that_holds_only_dead_letters_is_not_forgotten(lab: Lab) -> None:
    await leave(lab, backlog=False, retries=False)
    lab.spec(WITHOUT)

    with pytest.raises(PipelineChangedError, match="holds 2 dead letters"):
        await lab.run()


async def test_what_waited_goes_through_a_stage_that_was_put_in_between(lab: Lab) -> None:
    await leave(lab, retries=False)
    lab.spec(IN_BETWEEN, defaults=PATIENT)
    assert await kinds(lab) == {"twice": "added", "slow": "moved"}

    await lab.run()

    assert lab.numbers("out/all.jsonl") == [n for n in range(40) if n % 10 != 1]
    twice = [line["n"] for line in lab.lines("out/all.jsonl") if "m" in line]
    assert sorted(twice) == [n for n in range(20, 40) if n % 10 != 1]
    assert await lab.redis("XLEN", lab.key("slow:dlq")) == 4


async def test_a_drained_stage_may_be_renamed_or_removed_and_nothing_is_read_again(lab: Lab) -> None:
    lab.handlers("def slow(record): return record")
    lab.records(range(30))
    lab.spec(CHAIN, top="keep: 1h")  # so that what was done still stands in the streams
    await lab.run()
    lab.records(range(30, 40))

    lab.spec(RENAMED, top="keep: 1h")
    await lab.run()
    lab.records(range(40, 50))
    lab.spec(WITHOUT, top="keep: 1h")
    await lab.run()
    lab.spec(CHAIN, top="keep: 1h")
    summary = await lab.run()

    assert lab.numbers("out/all.jsonl") == list(range(50))
    assert summary.nothing_new
    groups = await lab.client.group_info(lab.key("read"))
    assert [group.name for group in groups] == ["slow"]


async def test_a_stage_that_reads_elsewhere_first_does_what_it_had_not_done(lab: Lab) -> None:
    lab.records(range(250))
    lab.spec(
        """
        read: {source: {type: jsonl, path: in.jsonl}}
        add: {map: {m: "n + 1"}}
        other: {source: {type: jsonl, path: other.jsonl}}
        out: {from: add, sink: {type: jsonl, path: out/all.jsonl}}
        """
    )
    lab.records(range(1000, 1010), "other.jsonl")
    feeding = await lab.up(stages=["read", "add"])
    await wait_until(lambda: (s := feeding.runner.state) and s.stages["out"].lag == 250, what="250 wait")
    await feeding.stop()
    lab.spec(
        """
        read: {source: {type: jsonl, path: in.jsonl}}
        add: {map: {m: "n + 1"}}
        dump: {from: add, sink: {type: jsonl, path: out/dump.jsonl}}
        other: {source: {type: jsonl, path: other.jsonl}}
        out: {from: other, sink: {type: jsonl, path: out/all.jsonl}}
        """
    )

    await lab.run()

    assert lab.numbers("out/all.jsonl") == [*range(250), *range(1000, 1010)]
    assert lab.lines("out/dump.jsonl") == []


async def test_a_renamed_source_does_not_read_its_files_again(lab: Lab) -> None:
    lab.handlers("def slow(record): return record")
    lab.records(range(30))
    lab.spec(CHAIN)
    await lab.run()
    lab.spec(CHAIN.replace("read:", "load:", 1))

    with pytest.raises(PipelineChangedError, match="would read them from their beginning"):
        await lab.run()

    assert lab.numbers("out/all.jsonl") == list(range(30))


async def test_a_new_handler_and_new_settings_go_on_without_a_question(lab: Lab) -> None:
    await leave(lab, retries=False)
    lab.spec(
        CHAIN.replace('call: "handlers:slow"', 'call: "handlers:other", batch: {size: 7}'), defaults=PATIENT
    )
    assert (await one(lab, "slow")).what.split(", ") == ["batch", "call"]

    await lab.run()

    assert lab.numbers("out/all.jsonl") == [n for n in range(40) if n not in (1, 11)]


@pytest.mark.parametrize(("former", "now"), [("json", "msgpack"), ("msgpack", "json")])
async def test_what_waited_is_read_where_the_serializer_has_changed(lab: Lab, former: str, now: str) -> None:
    await leave(lab, serializer=former)
    lab.spec(CHAIN, top=f"serializer: {now}")
    await lab.redis("ZUNIONSTORE", lab.key("slow:retry"), 1, lab.key("slow:retry"), "WEIGHTS", 0)

    await lab.run()

    assert lab.numbers("out/all.jsonl") == [n for n in range(40) if n % 10 != 1]
    letters = await lab.redis("XRANGE", lab.key("slow:dlq"), "-", "+")
    assert [fields[fields.index(b"rsq-dlq-reason") + 1] for _, fields in letters] == [b"rejected"] * 4


async def test_a_pipeline_of_an_earlier_release_is_taken_as_it_is(lab: Lab) -> None:
    await leave(lab, retries=False)
    await lab.redis("HDEL", lab.key("meta"), GRAPH)

    lab.spec(RENAMED, defaults=PATIENT)
    gone = await one(lab, "slow")
    lab.spec(CHAIN)
    await lab.run()

    assert gone.heir == "sluggish"
    assert gone.stranded
    assert lab.numbers("out/all.jsonl") == [n for n in range(40) if n % 10 != 1]


async def test_places_are_not_moved_under_a_run_of_another_file(lab: Lab) -> None:
    lab.handlers("def slow(record): return record")
    lab.records(range(3))
    lab.spec(CHAIN)
    running = await lab.up(stages=["out"])
    lab.spec(IN_BETWEEN)

    with pytest.raises(PipelineBusyError, match="from another file"):
        await lab.run()

    await running.stop()
    assert (await lab.run()).finished
