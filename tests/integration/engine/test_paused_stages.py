"""A stage pauses while what it calls is down: no attempt is counted, nothing dies, and all of it goes on."""

from __future__ import annotations

import asyncio
import json

import pytest
from structlog.testing import capture_logs

from rsq_pipe.engine.state.paused import Paused, pause_field
from rsq_pipe.engine.summary import StageSummary
from rsq_pipe.ops.status import read_status
from tests.integration.engine.lab import READ, Lab
from tests.support.signals import BUSY, wait_until

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"
BREAKER = "breaker: {failures: 10, first: 50ms, max: 100ms}"
QUICK = f"""
    defaults:
      batch: {{size: 50}}
      retry: {{attempts: 1}}
      {BREAKER}
"""

HANDLERS = """
    import pathlib

    DOWN = pathlib.Path(__file__).parent / "down"
    CALLS, ATTEMPTS, FAILED = [], [], []

    class Unavailable(Exception):
        pass

    def work(record, ctx):
        CALLS.append(record["n"])
        ATTEMPTS.append(ctx.attempt)
        if DOWN.exists():
            FAILED.append(record["n"])
            raise {error}("no stock service")
        return record
"""


def down(lab: Lab, error: str = "Unavailable") -> None:
    lab.handlers(HANDLERS.replace("{error}", error))
    (lab.root / "down").touch()


def up(lab: Lab) -> None:
    (lab.root / "down").unlink()


async def paused(lab: Lab, stage: str = "work") -> Paused:
    async def found() -> list[Paused]:
        return [of for name, of in (await lab.state()).paused.items() if name == stage]

    (there,) = await wait_until(found, what="the stage is paused")
    return there


async def test_an_outage_kills_no_record_and_counts_no_attempt(lab: Lab) -> None:
    lab.records(range(500))
    down(lab)
    lab.spec(f'{READ}\nwork: {{call: "handlers:work"}}\n{OUT}', defaults=QUICK)

    run = await lab.up()
    assert (await paused(lab)).why == "Unavailable: no stock service"
    await wait_until(lambda: len(lab.module.FAILED) > 53, what="some records were tried after pauses")
    tried = lab.module.FAILED[50:]
    up(lab)
    summary = await run.ended()

    assert lab.module.FAILED[:50] == list(range(50)), "the batch that opened it"
    assert tried[:3] == [50, 51, 52], "then one after each pause, each time another"
    assert set(lab.module.ATTEMPTS) == {1}
    assert lab.numbers("out/all.jsonl") == list(range(500))
    assert summary.stages["work"] == StageSummary(received=550, emitted=500, dropped=0, retried=50, dead=0)
    assert summary.dead_letters == 0
    assert summary.paused == {}
    assert await lab.redis("HGET", lab.key("meta"), pause_field("work")) is None


@pytest.mark.parametrize("error", ["ConnectionRefusedError", "Unavailable"])
async def test_nothing_is_lost_in_an_outage_with_several_workers_and_processes(lab: Lab, error: str) -> None:
    lab.records(range(1_000))
    down(lab, error)
    lab.spec(f'{READ}\nwork: {{call: "handlers:work", workers: 2}}\n{OUT}', defaults=QUICK)

    runs = [await lab.up(), await lab.up()]
    await paused(lab)
    await wait_until(lambda: len(lab.module.FAILED) > 210, what="all workers have tried")
    up(lab)
    await asyncio.gather(*(run.ended() for run in runs))

    assert lab.numbers("out/all.jsonl") == list(range(1_000))
    assert set(lab.module.ATTEMPTS) == {1}
    assert await lab.dead_letters("work") == []


async def test_a_fused_stage_that_fails_pauses_its_chain_and_its_retries_keep_their_attempts(
    lab: Lab,
) -> None:
    lab.records(range(300))
    down(lab)
    lab.handlers(
        HANDLERS.replace("{error}", "Unavailable") + "\n    FIRST = []\n\n    def first(record):"
        "\n        FIRST.append(record['n'])\n        return record\n"
    )
    lab.spec(
        f"""
        {READ}
        first: {{call: "handlers:first"}}
        odd: {{filter: "n % 2"}}
        work: {{call: "handlers:work", fuse: true}}
        {OUT}
        """,
        defaults=QUICK,
    )

    run = await lab.up()
    await paused(lab)
    await wait_until(lambda: len(lab.module.FAILED) > 28, what="some records were tried after pauses")
    assert len(lab.module.FIRST) < 100, "the stages above wait too"
    up(lab)
    summary = await run.ended()

    assert lab.numbers("out/all.jsonl") == list(range(1, 300, 2))
    assert set(lab.module.ATTEMPTS) == {1}
    assert (summary.stages["work"].retried, summary.stages["work"].dead) == (25, 0)
    assert summary.stages["first"].received == 300
    assert summary.stages["odd"].dropped == 150


async def test_neighbours_that_work_are_settled_when_it_pauses(lab: Lab) -> None:
    lab.records(range(50))
    some = HANDLERS.replace("if DOWN", "if record['n'] > 19 and DOWN")
    lab.handlers(some.replace("{error}", "Unavailable"))
    (lab.root / "down").touch()
    lab.spec(f'{READ}\nwork: {{call: "handlers:work"}}\n{OUT}', defaults=QUICK)

    run = await lab.up()
    await paused(lab)
    await wait_until(lambda: len(lab.lines_so_far()) == 20, what="the neighbours are out")
    up(lab)
    await run.ended()

    assert lab.numbers("out/all.jsonl") == list(range(50))


async def test_a_stop_ends_a_pause_at_once_and_the_next_run_tries_one_record_first(lab: Lab) -> None:
    lab.records(range(200))
    down(lab)
    slow = QUICK.replace("first: 50ms, max: 100ms", "first: 10s, max: 60s")
    lab.spec(f'{READ}\nwork: {{call: "handlers:work"}}\n{OUT}', defaults=slow)

    run = await lab.up()
    await paused(lab)
    began = asyncio.get_running_loop().time()
    summary = await run.stop()
    assert asyncio.get_running_loop().time() - began < BUSY
    assert not summary.finished
    assert summary.paused["work"].why == "Unavailable: no stock service"
    assert len(lab.module.FAILED) == 50

    lab.spec(f'{READ}\nwork: {{call: "handlers:work"}}\n{OUT}', defaults=QUICK)
    again = await lab.up()
    await wait_until(lambda: len(lab.module.FAILED) > 52, what="some records are tried")
    assert len(lab.module.FAILED) < 60, "one by one, as the pipeline says that the stage is paused"
    up(lab)
    await again.ended()

    assert lab.numbers("out/all.jsonl") == list(range(200))
    assert set(lab.module.ATTEMPTS) == {1}


async def test_what_is_in_hand_during_a_pause_is_kept_by_its_heartbeat(lab: Lab) -> None:
    lab.records(range(300))
    down(lab)
    long = QUICK.replace("first: 50ms, max: 100ms", "first: 1s, max: 9s")
    top = "reclaim: {idle: 300ms}"
    lab.spec(f'{READ}\nwork: {{call: "handlers:work"}}\n{OUT}', defaults=long, top=top)

    runs = [await lab.up(), await lab.up()]
    await paused(lab)

    async def owners() -> dict[bytes, bytes]:
        pending = await lab.redis("XPENDING", lab.key("read"), "work", "-", "+", 100)
        assert all(delivered <= 1 for *_, delivered in pending)
        return {entry_id: owner for entry_id, owner, *_ in pending}

    # The second may hear of the pause before it reads anything, and then has nothing in hand.
    await wait_until(owners, what="a process pauses with something in hand")
    before, failed = await owners(), len(lab.module.FAILED)
    await wait_until(lambda: len(lab.module.FAILED) > failed + 3, what="some pauses have passed")
    now = await owners()
    assert {entry: now.get(entry) for entry in before} == before, "nobody took it over"
    up(lab)
    await asyncio.gather(*(run.ended(30) for run in runs))

    assert lab.numbers("out/all.jsonl") == list(range(300))
    assert set(lab.module.ATTEMPTS) == {1}


async def test_what_a_process_that_died_has_left_is_believed_for_a_while_only(lab: Lab) -> None:
    lab.records(range(20))
    down(lab)
    up(lab)
    lab.spec(f'{READ}\nwork: {{call: "handlers:work"}}\n{OUT}', defaults=QUICK)
    left = json.dumps({"why": "Unavailable: gone", "since": 1.0, "at": 1.0, "by": "the dead"})
    await lab.redis("HSET", lab.key("meta"), pause_field("work"), left)

    assert (await read_status(lab.client, lab.graph)).stages[1].paused is None
    await lab.run()

    assert lab.numbers("out/all.jsonl") == list(range(20))


async def test_bad_records_are_dead_letters_in_the_end_however_many_stand_together(lab: Lab) -> None:
    lab.records(range(200))
    lab.handlers("""
        class Bad(Exception):
            pass

        def work(record):
            if 60 <= record["n"] < 90:
                raise Bad(record["n"])
            return record
    """)
    lab.spec(f'{READ}\nwork: {{call: "handlers:work"}}\n{OUT}', defaults=QUICK)

    summary = await lab.run()

    assert lab.numbers("out/all.jsonl") == [n for n in range(200) if not 60 <= n < 90]
    assert summary.stages["work"].dead == 30


async def test_records_that_are_wrong_pause_nothing(lab: Lab) -> None:
    lab.records(range(100))
    lab.handlers("def work(record):\n    raise ValueError(record['n'])")
    lab.spec(f'{READ}\nwork: {{call: "handlers:work"}}\n{OUT}', defaults=QUICK)

    with capture_logs() as logs:
        summary = await lab.run()

    assert summary.stages["work"].dead == 100
    assert not [line for line in logs if "paused" in line["event"]]


async def test_without_a_breaker_an_outage_uses_up_the_attempts(lab: Lab) -> None:
    lab.records(range(100))
    down(lab)
    lab.spec(f'{READ}\nwork: {{call: "handlers:work", breaker: false}}\n{OUT}', defaults=QUICK)

    assert (await lab.run()).stages["work"].dead == 100


async def test_log_status_and_gauges_say_which_stage_is_paused_why_and_since_when(lab: Lab) -> None:
    lab.records(range(100))
    down(lab)
    lab.spec(f'{READ}\nwork: {{call: "handlers:work"}}\n{OUT}', defaults=QUICK)

    with capture_logs() as logs:
        run = await lab.up()
        await paused(lab)
        stage = (await read_status(lab.client, lab.graph)).stages[1]
        assert stage.paused is not None
        assert stage.paused.why == "Unavailable: no stock service"
        assert 0 <= stage.paused.seconds < 10
        up(lab)
        await run.ended()

    assert (await read_status(lab.client, lab.graph)).stages[1].paused is None
    told = [line for line in logs if line.get("stage") == "work" and "calls" in line["event"]]
    assert told[0]["event"] == "paused: calls fail one after another"
    assert told[0]["error"] == "Unavailable: no stock service"
    assert told[0]["tried_again_in"] == pytest.approx(0.05, rel=0.25), "give or take a fifth"
    assert told[-1]["event"] == "goes on: calls work again"


async def test_a_stage_of_a_pipeline_that_no_process_runs_any_more_is_not_paused(lab: Lab) -> None:
    lab.records(range(100))
    down(lab)
    lab.spec(f'{READ}\nwork: {{call: "handlers:work"}}\n{OUT}', defaults=QUICK)
    run = await lab.up()
    await paused(lab)
    await run.stop()

    status = await read_status(lab.client, lab.graph)

    assert status.runs == ()
    assert status.stages[1].paused is None
