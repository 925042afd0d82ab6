"""What one process finds out about a stage's calls, the others learn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import msgspec
import pytest
from msgspec.structs import replace

from rsq_pipe.engine.pauses.breaker import Breaker, Cause
from rsq_pipe.engine.pauses.pauses import Pauses
from rsq_pipe.engine.state.paused import Paused
from rsq_pipe.spec.graph import BreakerPolicy
from tests.integration.engine.lab import READ, Lab

ROW = [f"read:{n}" for n in range(20)]


class One:
    """The breakers of one process."""

    def __init__(self, lab: Lab, name: str) -> None:
        self._lab = lab
        self.pauses = Pauses(lab.client, lab.graph, name)
        policy = BreakerPolicy(failures=20, first=60.0, max=60.0)
        breaker = self.pauses.of(replace(lab.graph.stage("work"), breaker=policy))
        assert breaker is not None
        self.breaker: Breaker = breaker

    def fail(self, rids: Sequence[str] = ROW) -> None:
        self.breaker.note(rids, dict.fromkeys(range(20), Cause("Down", "Down: no service")))

    async def look(self) -> dict[str, Paused]:
        asked = time.monotonic()
        found = dict((await self._lab.state()).paused)
        self.pauses.update(found, asked)
        return found


@pytest.fixture
async def both(lab: Lab) -> tuple[One, One]:
    lab.handlers("def work(record):\n    return record")
    lab.spec(f'{READ}\nwork: {{call: "handlers:work"}}\nout: {{sink: {{type: stdout}}}}')
    lab.records([])
    await lab.run()
    return One(lab, "a"), One(lab, "b")


async def test_a_process_that_pauses_makes_the_others_try_a_record_first(both: tuple[One, One]) -> None:
    a, b = both
    a.fail()
    await a.pauses.publish()

    found = await b.look()

    assert found["work"].why == "Down: no service"
    assert (b.breaker.is_open, b.breaker.wait()) == (True, 0.0)


async def test_a_process_that_sees_a_call_work_has_the_others_try_at_once(both: tuple[One, One]) -> None:
    a, b = both
    a.fail()
    await a.pauses.publish()
    await b.look()
    assert b.breaker.wait() == 0.0
    b.breaker.trial_succeeded()
    await b.look()
    assert not b.breaker.is_open, "that it was paused is known already"
    await b.pauses.publish()

    assert await a.look() == {}
    assert a.breaker.wait() == 0.0


async def test_a_process_that_has_nothing_to_try_does_not_say_again_that_it_is_paused(
    both: tuple[One, One],
) -> None:
    a, b = both
    a.fail()
    await a.pauses.publish()
    await b.look()
    b.breaker.wait()
    b.breaker.trial_succeeded()
    await b.pauses.publish()
    await a.look()

    await a.pauses.publish()

    assert await b.look() == {}
    assert not b.breaker.is_open


async def test_an_outage_of_which_a_run_before_told_is_over_once_this_one_gets_an_answer(
    both: tuple[One, One],
) -> None:
    before, after = both
    before.pauses.waits("read", "no answer")
    await before.pauses.publish()
    assert (await after.look())["read"].why == "no answer"

    await after.pauses.publish()
    assert "read" in await after.look(), "nobody knows yet that it answers"
    after.pauses.works("read")
    await after.pauses.publish()

    assert await after.look() == {}


async def test_an_outage_that_another_process_tells_of_beside_this_one_stays_its_own(
    both: tuple[One, One],
) -> None:
    a, b = both
    await b.look()
    a.pauses.waits("read", "no answer")
    await a.pauses.publish()
    await b.look()

    b.pauses.works("read")
    await b.pauses.publish()

    assert (await b.look())["read"].why == "no answer"


async def test_a_process_whose_clock_is_wrong_pauses_for_the_others_all_the_same(
    both: tuple[One, One], lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = both
    right = time.time
    a.fail()

    monkeypatch.setattr(time, "time", lambda: right() + 3_600)
    await a.pauses.publish()
    there = (await a.look())["work"]
    monkeypatch.undo()

    assert abs(there.since - (right() + 3_600)) < 60, "a reader gets times of its own clock"
    assert abs((await b.look())["work"].since - right()) < 60
    assert b.breaker.is_open
    found = await lab.redis("HGET", lab.key("meta"), "paused:work:why")
    assert abs(msgspec.json.decode(found)["at"] - right()) < 60, "others read it by the server's clock"


async def test_a_stage_that_pauses_again_while_its_pause_is_taken_back_does_not_end_the_run(
    both: tuple[One, One],
) -> None:
    a, _ = both
    a.fail()
    await a.pauses.publish()
    a.breaker.trial_succeeded()

    taking_back = asyncio.ensure_future(a.pauses.publish())
    await asyncio.sleep(0)  # it has sent its command
    a.fail([f"read:{n}" for n in range(20, 40)])
    a.pauses.update({}, time.monotonic())  # a look at the state that came after the command
    await taking_back

    assert a.breaker.is_open
