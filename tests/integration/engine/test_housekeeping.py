"""One process keeps house for all that run a pipeline; where it falls silent another one does."""

from __future__ import annotations

import asyncio
import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import pytest

from rsq_pipe.engine.call_times import CallTimes
from rsq_pipe.engine.housekeeping.history import History
from rsq_pipe.engine.housekeeping.housekeeping import Housekeeping
from rsq_pipe.engine.housekeeping.promoter import Promoter
from rsq_pipe.streams.client import StreamClient
from tests.integration.engine.lab import READ, Lab, Running
from tests.integration.engine.looks import Looks
from tests.integration.engine.packed import PackedLab
from tests.support.signals import BUSY, wait_until

QUICK = 0.3
"""Seconds a lease lasts here."""

NOBODY = 2**22 + 1
"""A number that no process has: Linux gives none above 2**22."""


@dataclass
class One:
    """What one process keeps house with."""

    lab: Lab
    seconds: float = QUICK
    retried: dict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))

    def __post_init__(self) -> None:
        history = History(self.lab.client, self.lab.graph, CallTimes())
        self.house = Housekeeping(
            self.lab.client, self.lab.graph, self.retried, history, seconds=self.seconds
        )

    async def turn(self) -> bool:
        await self.house.turn(await self.lab.state())
        return self.house.leads


@pytest.fixture
async def both(lab: PackedLab) -> tuple[One, One]:
    lab.handlers("def work(record):\n    return record")
    lab.spec(f'{READ}\nwork: {{call: "handlers:work"}}\nout: {{sink: {{type: jsonl, path: out/all.jsonl}}}}')
    lab.records([])
    await lab.run()
    return One(lab), One(lab)


async def put_off(lab: Lab, count: int) -> None:
    """Put records into a stage's retry set that are due, as one does that dies then."""
    script = """for n = 1, ARGV[1] do
        redis.call('ZADD', KEYS[1], 0, cmsgpack.pack({tostring(n), 'data', '{"n": ' .. n .. '}'}))
    end"""
    await lab.redis("EVAL", script, 1, lab.key("work:retry"), count)


async def test_one_process_does_the_housekeeping_and_another_goes_on_at_once_when_it_ends(
    both: tuple[One, One],
) -> None:
    a, b = both

    assert (await a.turn(), await b.turn()) == (True, False)
    await a.house.end()

    assert (await b.turn(), await a.turn()) == (True, False)


async def test_a_housekeeper_that_falls_silent_is_followed_when_its_lease_has_run_out(
    both: tuple[One, One],
) -> None:
    a, b = both
    await a.turn()
    await put_off(a.lab, 1)
    asked = asyncio.get_running_loop().time()

    await wait_until(b.turn, what="its lease has run out")

    assert asyncio.get_running_loop().time() - asked >= QUICK / 2
    assert b.retried["work"].is_set()


async def test_only_the_one_that_keeps_house_looks_after_retries_of_the_dead(both: tuple[One, One]) -> None:
    a, b = both
    await put_off(a.lab, 1)

    await a.turn()
    await b.turn()

    assert (a.retried["work"].is_set(), b.retried["work"].is_set()) == (True, False)


async def test_what_two_promote_at_once_moves_once(both: tuple[One, One]) -> None:
    lab = both[0].lab
    await put_off(lab, 5_000)
    stopping, stage = asyncio.Event(), lab.graph.stage("work")
    clients = [StreamClient.from_url(lab.url) for _ in range(4)]
    looks = [asyncio.Event() for _ in clients]
    for look in looks:
        look.set()
    promoters = [
        asyncio.ensure_future(Promoter(client, lab.graph, stage, look).run(stopping))
        for client, look in zip(clients, looks, strict=True)
    ]

    async def is_empty() -> bool:
        return not await lab.redis("ZCARD", lab.key("work:retry"))

    await wait_until(is_empty)
    stopping.set()
    await asyncio.gather(*promoters)
    for client in clients:
        await client.close()

    moved = Counter(fields["data"] for _, fields in await lab.entries(lab.key("work:again")))
    assert (len(moved), set(moved.values())) == (5_000, {1})


async def test_a_housekeeper_that_was_paused_and_two_others_trim_nothing_that_is_needed(
    lab: PackedLab, both: tuple[One, One]
) -> None:
    a, b = both
    await a.turn()
    before = await lab.state()  # what the one that is paused goes on with
    for _ in range(20):
        await lab.append("read", 1)
    entries = await lab.read("work", "read", 10)
    await lab.settle("work", "read", *entries[:4])
    await a.house.end()

    await wait_until(b.turn)
    await asyncio.gather(a.house.turn(before), b.turn(), a.house.turn(before), b.turn())

    left = [entry_id for entry_id, _ in await lab.entries(lab.key("read"))]
    assert left[-16:] == [entry.id for entry in entries[4:]] + left[-10:]


async def test_while_nothing_moves_the_others_take_its_word_for_it(both: tuple[One, One]) -> None:
    a, b = both
    await a.turn()
    state = await a.lab.state()

    await a.house.rests(state)
    await b.house.rests(state)  # not its to say

    assert await b.house.is_as(state)
    assert not await a.house.is_as(state), "it looks itself"
    await a.lab.redis("HINCRBY", a.lab.key("meta"), "work:in", 1)
    assert not await b.house.is_as(await a.lab.state())


async def test_nobody_believes_for_long_what_one_said_that_is_silent_since(both: tuple[One, One]) -> None:
    a, b = both
    await a.turn()
    state = await a.lab.state()
    await a.house.rests(state)

    async def is_doubted() -> bool:
        return not await b.house.is_as(state)

    await wait_until(is_doubted)


async def test_as_long_as_one_is_heard_of_nobody_asks_for_its_lease(both: tuple[One, One]) -> None:
    a, b = both
    await a.turn()
    state = await a.lab.state()
    await a.house.rests(state)
    assert await b.house.is_as(state)
    await a.lab.redis("DEL", a.lab.key("meta:housekeeping"))  # where it asked, it would have it

    assert not await b.turn()


async def test_a_housekeeper_that_is_heard_of_no_more_is_followed_at_once(both: tuple[One, One]) -> None:
    a, b = both
    await a.turn()
    state = await a.lab.state()
    await a.house.rests(state)
    assert await b.house.is_as(state)
    await put_off(a.lab, 1)

    await a.house.end()
    assert not await b.house.is_as(await a.lab.state())

    assert (b.house.leads, b.retried["work"].is_set()) == (True, True)


async def test_a_killed_housekeeper_of_this_machine_is_followed_before_its_lease_runs_out(
    lab: PackedLab, both: tuple[One, One]
) -> None:
    a, b = One(lab, seconds=60), both[1]
    await a.turn()
    state = await lab.state()
    await a.house.rests(state)
    assert await b.house.is_as(state)
    for key in ("meta:housekeeping", "meta:rest"):  # as a process that does not exist any more left them
        said = (await lab.redis("GET", lab.key(key))).decode()
        await lab.redis("SET", lab.key(key), said.replace(f"_{os.getpid()}-", f"_{NOBODY}-"), "KEEPTTL")

    assert not await b.house.is_as(state)

    assert b.house.leads


async def test_of_two_runs_at_rest_one_looks_and_the_other_sees_what_moves_then(lab: PackedLab) -> None:
    lab.handlers("def work(record):\n    return record")
    lab.spec(f"""
        work: {{from: {{stream: "{lab.pipeline}-in"}}, call: "handlers:work"}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
    """)
    first = await lab.up()
    await wait_until(lambda: first.runner._housekeeping.leads)
    second = await lab.up()
    looks = Looks(second)

    # Three in a row without a look of its own; the first learns of the second with its next sign of life.
    await wait_until(lambda: looks.asked >= 3)
    await lab.redis("XADD", f"{lab.pipeline}-in", "*", "data", '{"n": 1}')

    def has_seen_it(run: Running) -> bool:
        return run.runner.state is not None and run.runner.state.counters.get("out:in") == 1

    await wait_until(lambda: has_seen_it(first) and has_seen_it(second))
    assert looks.whole
    await first.stop()
    await wait_until(lambda: second.runner._housekeeping.leads)
    await second.stop()
    await lab.redis("DEL", f"{lab.pipeline}-in")


async def test_three_runs_at_rest_send_ten_commands_a_second_and_stage_at_most(lab: PackedLab) -> None:
    lab.handlers("def work(record):\n    return record")
    lab.spec(f"""
        first: {{from: {{stream: "{lab.pipeline}-in"}}, call: "handlers:work"}}
        second: {{call: "handlers:work"}}
        third: {{call: "handlers:work"}}
    """)
    runs = [await lab.up() for _ in range(3)]
    looks = [Looks(run) for run in runs]
    followers = [one for one, run in zip(looks, runs, strict=True) if not run.runner._housekeeping.leads]
    (leader,) = (one for one in looks if one not in followers)
    await wait_until(lambda: all(one.asked >= 3 for one in followers))

    before, seen = await lab.commands(), leader.whole
    await wait_until(lambda: leader.whole >= seen + 5)  # one a second
    sent = await lab.commands() - before

    assert sent <= 5 * 10 * 3
    for run in runs:
        await run.stop()
    await lab.redis("DEL", f"{lab.pipeline}-in")


async def test_what_a_dead_worker_had_is_taken_over_in_time_by_runs_that_were_at_rest(lab: PackedLab) -> None:
    idle, stream = 2.0, f"{lab.pipeline}-in"
    lab.handlers("def work(record):\n    return record")
    top = f"reclaim: {{idle: {idle:g}s}}"
    lab.spec(f'work: {{from: {{stream: "{stream}"}}, call: "handlers:work"}}', top=top)
    runs = [await lab.up() for _ in range(2)]
    looks = [Looks(run) for run in runs]
    await wait_until(lambda: any(one.asked >= 3 for one in looks))

    before = await lab.redis("XADD", stream, "*", "data", '{"n": 1}')
    await wait_until(lambda: has_handled(runs, 1))
    words = ("FORCE", "JUSTID")
    await lab.redis("XCLAIM", stream, "work", "dead", 0, before, *words)

    await wait_until(lambda: has_handled(runs, 2), timeout=idle + idle / 2 + BUSY)
    for run in runs:
        await run.stop()
    await lab.redis("DEL", stream)


def has_handled(runs: list[Running], count: int) -> bool:
    return any(
        run.runner.state is not None and run.runner.state.counters.get("work:in") == count for run in runs
    )
