"""A stage that is paused by hand, or for its dead letters, reads nothing until it is resumed."""

from __future__ import annotations

import asyncio
import time

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from rsq_pipe.engine.pauses.holds import Holds
from rsq_pipe.engine.state.state import PipelineState
from rsq_pipe.errors import HandlerError
from rsq_pipe.ops.hold import pause, resume
from rsq_pipe.ops.status import read_status
from tests.integration.engine.lab import READ, Lab
from tests.support.signals import wait_until

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"
HANDLERS = """
    from rsq_pipe import Reject

    CALLS = []

    def work(record):
        CALLS.append(record["n"])
        if BAD(record["n"]):
            raise ValueError(record["n"])
        return record

    def BAD(n):
        return {bad}
"""
DEFAULTS = "defaults: {batch: {size: 50}, retry: {attempts: 1}}"


def spec(lab: Lab, then: str, bad: str, *, fuse: str = "") -> None:
    lab.handlers(HANDLERS.replace("{bad}", bad))
    limit = f"on_error: {{dlq: {{max: 5%, over: 200, then: {then}}}}}"
    lab.spec(f'{READ}\nwork: {{call: "handlers:work", {limit}{fuse}}}\n{OUT}', defaults=DEFAULTS)


async def held(lab: Lab, stage: str = "work") -> str:
    async def found() -> list[str]:
        return [hold.why for name, hold in (await lab.state()).held.items() if name == stage]

    (why,) = await wait_until(found, what="the stage is held")
    return why


async def quiet(lab: Lab) -> int:
    """Wait until nothing is called any more."""
    before = -1
    while before != (before := len(lab.module.CALLS)):  # noqa: ASYNC110  nothing tells that nothing comes
        await asyncio.sleep(0.3)
    return before


@pytest.mark.parametrize("runs", [1, 2])
async def test_a_stage_pauses_when_too_many_records_became_dead_letters_and_goes_on_when_resumed(
    lab: Lab, runs: int
) -> None:
    lab.records(range(2_000))
    spec(lab, "pause", "300 <= n < 400")

    with capture_logs() as logs:
        up = [await lab.up() for _ in range(runs)]
        why = await held(lab)
        called = await quiet(lab)
        stage = (await read_status(lab.client, lab.graph)).stages[1]
        assert stage.paused is not None
        assert (stage.paused.why, stage.paused.held) == (why, True)
        dead = len(await lab.dead_letters("work"))
        found = await resume(lab.client, lab.graph, "work")
        assert found is not None
        await wait_until(lambda: len(lab.module.CALLS) > called, what="it goes on")
        ends = asyncio.gather(*(run.ended() for run in up))
        while not ends.done():  # the rest of the bad ones may be too many again
            await resume(lab.client, lab.graph, "work")
            await asyncio.wait([ends], timeout=0.2)
        summaries = await ends

    assert 10 < dead <= 10 + 50 * runs
    assert called < 300 + 100 * runs + 50
    assert "dead letters; 5% of 200 may" in why
    told = [line["event"] for line in logs if line.get("stage") == "work" and line["log_level"] == "warning"]
    assert "paused until it is resumed" in told
    assert "goes on: it was resumed" in told
    assert lab.numbers("out/all.jsonl") == [n for n in range(2_000) if not 300 <= n < 400]
    assert len(await lab.dead_letters("work")) == 100
    assert all(summary.paused == {} for summary in summaries)
    assert sorted(lab.module.CALLS) == list(range(2_000)), "nobody was called twice"


@pytest.mark.parametrize("noticed", [False, True])
async def test_a_process_that_comes_late_does_not_pause_a_stage_again_that_was_resumed_since(
    lab: Lab, noticed: bool
) -> None:
    holds, state = await _about_to_pause(lab)

    await pause(lab.client, lab.graph, "work", "another process was first")
    await resume(lab.client, lab.graph, "work")
    if noticed:
        holds.update(replace(state, resumed={"work": 1}, counters=BAD), time.monotonic())
    await holds.publish()

    assert (await lab.state()).held == {}


async def test_a_stage_stays_paused_that_a_look_from_before_does_not_know_to_be(lab: Lab) -> None:
    holds, state = await _about_to_pause(lab)
    asked = time.monotonic()

    with capture_logs() as logs:
        await holds.publish()
        holds.update(state, asked)

    assert (await lab.state()).held.keys() == {"work"}
    assert not logs


async def _about_to_pause(lab: Lab) -> tuple[Holds, PipelineState]:
    """Have a process see that a stage is to be paused, and not say so yet."""
    lab.records(range(10))
    spec(lab, "pause", "False")
    await lab.run()
    state = await lab.state()
    holds = Holds(lab.client, lab.graph, halt=lambda error: pytest.fail(str(error)))
    holds.update(state, time.monotonic())
    holds.check_limits(BAD)
    return holds, state


BAD = {"work:in": 1_000, "work:dead": 500}


async def test_a_stage_stops_the_run_when_too_many_records_became_dead_letters(lab: Lab) -> None:
    lab.records(range(1_000))
    spec(lab, "stop", "300 <= n < 400")

    with pytest.raises(HandlerError, match=r"stage 'work' stopped: .* of the last .* 5% of 200 may"):
        await lab.run()
    assert 10 < len(await lab.dead_letters("work")) < 100

    lab.module.BAD = lambda _: False  # type: ignore[attr-defined]
    await lab.run()
    assert len({*lab.numbers("out/all.jsonl")}) + len(await lab.dead_letters("work")) == 1_000


async def test_few_dead_letters_stop_nothing(lab: Lab) -> None:
    lab.records(range(1_000))
    spec(lab, "stop", "n % 25 == 0")

    summary = await lab.run()

    assert summary.finished
    assert summary.stages["work"].dead == 40


async def test_a_fused_stage_that_is_paused_holds_its_chain(lab: Lab) -> None:
    lab.records(range(1_000))
    lab.spec(
        f'{READ}\nwork: {{map: {{n: "n if n < 300 else 1 // 0"}}, {_limit()}}}\n{OUT}', defaults=DEFAULTS
    )

    run = await lab.up()
    await held(lab)
    summary = await run.stop()

    assert summary.stages["read"].emitted < 1_000, "the source waits, too"
    assert summary.paused["work"].why
    assert not summary.finished


def _limit() -> str:
    return "on_error: {dlq: {max: 5%, over: 200, then: pause}}, retry: {attempts: 1}"


@pytest.mark.parametrize("stage", ["read", "work", "out"])
async def test_a_stage_that_is_paused_by_hand_reads_nothing_whoever_runs_it(lab: Lab, stage: str) -> None:
    lab.records(range(200))
    lab.handlers(HANDLERS.replace("{bad}", "False"))
    lab.spec(f'{READ}\nwork: {{call: "handlers:work"}}\n{OUT}', defaults=DEFAULTS)
    assert await pause(lab.client, lab.graph, stage, "the service is moved") is None
    before = await pause(lab.client, lab.graph, stage, "again")
    assert before is not None
    assert before.why == "the service is moved"

    run = await lab.up()
    above = {"read": 0, "work": 200, "out": 200}[stage]
    await wait_until(lambda: _came(lab, "read", above), what="those above work")
    await quiet(lab)
    assert len(lab.module.CALLS) == (200 if stage == "out" else 0)
    summary = await run.stop()
    assert summary.paused[stage].why == "the service is moved"
    assert not (lab.root / "out/all.jsonl").exists() or lab.numbers("out/all.jsonl") == []

    again = await lab.up()
    await resume(lab.client, lab.graph, stage)
    await again.ended()
    assert lab.numbers("out/all.jsonl") == list(range(200))
    assert await resume(lab.client, lab.graph, stage) is None


async def _came(lab: Lab, stage: str, records: int) -> bool:
    return (await lab.state()).counters.get(f"{stage}:out", 0) == records
