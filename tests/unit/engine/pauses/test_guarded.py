"""While a breaker is open a batch stays in hand, and its records are tried one by one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from rsq_pipe.engine.chain import Chain, Link
from rsq_pipe.engine.packing import Port
from rsq_pipe.engine.pauses.guarded import GuardedChain
from rsq_pipe.engine.pauses.pauses import Pauses
from rsq_pipe.engine.pauses.uncounted_deliveries import UncountedDeliveries
from rsq_pipe.engine.plan import Plan, Work
from rsq_pipe.engine.planner import Planner
from rsq_pipe.engine.unread import Unread
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.delivery import Delivery
from rsq_pipe.model.outcome import Failure, Outcome, Outcomes, Reject
from rsq_pipe.spec.graph import BreakerPolicy, Stage
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.in_flight import Isolation
from rsq_pipe.telemetry.observer import StageObserver
from rsq_pipe.verbs.normalise import Normaliser
from tests.support.signals import wait_until
from tests.unit.engine.given import JSON, PACKS, counts, failed_before, fields, pack, part_of, records
from tests.unit.engine.stages import graph, source, stage

AT = stage(breaker=BreakerPolicy(failures=3, first=0.001, max=0.002), retry=stage().retry)
PIPELINE = graph(source(), AT)


class UnavailableError(Exception):
    pass


class Service:
    """A verb that calls a service, which is down for so many calls."""

    pure = False
    changed = None

    def __init__(self, of: Stage) -> None:
        self._stage = of
        self.down = 0
        self.calls: list[list[int]] = []
        self.rejected: set[int] = set()

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def process(self, batch: Batch) -> Outcomes:
        self.calls.append([record["n"] for record in batch.records])
        return Normaliser(self._stage).outcomes(batch, [self._called(record) for record in batch.records])

    def _called(self, record: dict[str, Any]) -> Outcome:
        if self.down > 0:
            self.down -= 1
            return Failure(UnavailableError("no stock service"))
        return Reject("no") if record["n"] in self.rejected else record


class Uncounted(UncountedDeliveries):
    """Remembers what does not count; no server is asked."""

    def __init__(self) -> None:
        super().__init__(StreamClient.from_url("redis://127.0.0.1:1"), "price", lambda: "one")
        self.counted: list[tuple[int, list[str]]] = []

    async def _count(self, deliveries: Iterable[Delivery], *, less: int) -> None:
        if ids := sorted(one.id for one in deliveries):
            self.counted.append((less, ids))


class Bench:
    """One worker's chain of one stage, and its planner."""

    def __init__(self) -> None:
        self.service = Service(AT)
        ports = {port: Port(ref.key("orders"), JSON, PACKS) for port, ref in AT.outputs.items()}
        chain = Chain(Link(AT, self.service, StageObserver(), ports), JSON)
        pauses = Pauses(StreamClient.from_url("redis://127.0.0.1:1"), PIPELINE)
        breaker = pauses.of(AT)
        assert breaker is not None
        self.breaker = breaker
        self.uncounted = Uncounted()
        self.guarded = GuardedChain(chain, pauses, Isolation(), self.uncounted)

    async def work(self, entries: Sequence[RawEntry]) -> Work:
        unread = Unread(PIPELINE, AT, StageObserver())
        unpacked = unread.unpacker.unpack(entries)
        return Work(unpacked, await self.guarded.process(unpacked.batch))

    async def plan(self, entries: Sequence[RawEntry]) -> Plan:
        work = await self.work(entries)
        return Planner(PIPELINE, AT, random.Random(1)).plan(work, work.portion)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_records_that_failed_in_a_row_are_put_off_with_the_attempts_they_had(bench: Bench) -> None:
    bench.service.down = 4

    plan = await bench.plan([failed_before(9, 2, data={"n": 9}), pack(1, [1, 2, 3, 4, 5])])

    again = [fields(one.fields) for one in part_of(plan).retries]
    assert [(one["rsq-rid"], one.get("rsq-attempts")) for one in again] == [
        ("read:9", "2"),
        ("read:1", None),
        ("read:2", None),
        ("read:3", None),
    ]
    assert [record["n"] for _, record, _ in records(part_of(plan).outputs)] == [4, 5]
    assert part_of(plan).dead == []
    assert counts(plan) == {"in": 6, "out": 2, "retried": 4}
    assert not bench.breaker.is_open, "the last ones worked"


async def test_a_batch_is_tried_record_by_record_until_one_works_and_settled_as_one(bench: Bench) -> None:
    bench.service.down = 5
    await bench.plan([pack(1, [1, 2, 3])])
    assert bench.breaker.is_open

    plan = await bench.plan([pack(2, [4, 5, 6, 7])])

    assert bench.service.calls == [[1, 2, 3], [4], [5], [6], [4, 5, 7]]
    assert sorted(record["n"] for _, record, _ in records(part_of(plan).outputs)) == [4, 5, 6, 7]
    assert counts(plan) == {"in": 4, "out": 4}
    assert [one.id for one in part_of(plan).entries] == ["2-0"]


async def test_entries_that_wait_do_not_count_as_handed_out_until_they_are_handled(
    bench: Bench,
) -> None:
    bench.service.down = 4
    await bench.plan([pack(1, [1, 2, 3])])

    await bench.plan([pack(2, [4, 5]), pack(3, [6])])

    assert bench.service.calls[1:] == [[4], [5], [4, 6]]
    first, *tried, last = bench.uncounted.counted
    assert (first, last) == ((1, ["2-0", "3-0"]), (0, ["3-0"]))
    # 4 is tried and fails; unless the pause is over already it does not count again; then 5 works.
    assert tried in ([(0, ["2-0"])], [(0, ["2-0"]), (1, ["2-0"]), (0, ["2-0"])])


async def test_a_rejected_record_shows_that_the_stage_works(bench: Bench) -> None:
    bench.service.down = 3
    bench.service.rejected = {4}
    await bench.plan([pack(1, [1, 2, 3])])

    plan = await bench.plan([pack(2, [4, 5])])

    assert bench.service.calls[1:] == [[4], [5]]
    assert counts(plan) == {"in": 2, "out": 1, "dead": 1}


async def test_equal_records_of_one_entry_wait_for_their_retries_apart(bench: Bench) -> None:
    """The first is tried alone and the other is not: each is the first of its part of the batch."""
    bench.breaker.suspect("down over there")
    equal = pack(1, [7, 7])
    wrong = Failure(ValueError("seven"))
    bench.service._called = lambda record: wrong  # type: ignore[method-assign]

    plan = await bench.plan([equal])

    assert bench.service.calls == [[7], [7]]
    assert len({one.member for one in part_of(plan).retries}) == 2


async def test_told_to_stop_it_puts_off_at_once_what_it_has_in_hand(bench: Bench) -> None:
    bench.service.down = 3
    await bench.plan([pack(1, [1, 2, 3])])
    bench.service.down = 1_000_000
    trying = asyncio.ensure_future(bench.plan([pack(2, [4, 5]), failed_before(6, 2, data={"n": 6})]))
    await wait_until(lambda: len(bench.service.calls) > 2, what="records are tried")

    bench.guarded.stop()

    async with asyncio.timeout(5):
        plan = await trying
    left = [(one.stream, fields(one.fields)) for one in part_of(plan).outputs]
    assert {one["rsq-rid"]: one.get("rsq-attempts") for _, one in left} == {
        "read:4": None,
        "read:5": None,
        "read:6": "2",
    }
    assert {stream for stream, _ in left} == {"{orders}:price:again"}
    assert (counts(plan), part_of(plan).retries) == ({}, [])


async def test_a_stage_without_a_breaker_is_left_alone(bench: Bench) -> None:
    assert Pauses(StreamClient.from_url("redis://127.0.0.1:1"), PIPELINE).of(stage()) is None
