"""A worker waits while a stream below its chain is full, and no longer than until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from rsq_pipe.engine.backlog import Backlog
from rsq_pipe.engine.process import Process
from rsq_pipe.engine.state.state import PipelineState, StageState
from rsq_pipe.spec.graph import StreamRef
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.settlement import Output, Part, Settled
from tests.unit.engine.stages import graph, sink, source, stage

PRICE = "{orders}:price"
PIPELINE = graph(source(), stage(), sink())


def halt(error: BaseException) -> None:
    """Nothing here ends the run."""
    raise AssertionError(error)


def process() -> Process:
    """What shares a client that no test here uses."""
    return Process(StreamClient.from_url("redis://127.0.0.1:1"), PIPELINE, halt, ["read", "price"])


def holding(records: int) -> PipelineState:
    """The stream below holds so many records of the 10,000 it may."""
    return PipelineState({}, {PRICE: records}, settled={PRICE: 500})


def wrote(backlog: Backlog, totals: Mapping[str, int], *outputs: Output) -> None:
    settled = Settled([Part(outputs=outputs)], totals=totals)
    backlog.note(settled)


class Consumer:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.turns: list[str] = []

    def pause(self) -> None:
        self.turns.append("closed")

    def resume(self) -> None:
        self.turns.append("open")


async def test_there_is_room_until_a_look_says_otherwise() -> None:
    backlog = Backlog(process(), ["price"])
    assert await backlog.has_room()

    backlog.update(holding(9_999))
    assert backlog.is_open
    backlog.update(holding(10_000))
    assert not backlog.is_open


async def test_who_waits_goes_on_when_there_is_room_again() -> None:
    backlog = Backlog(process(), ["price"])
    backlog.update(holding(10_000))
    waiting = asyncio.create_task(backlog.has_room())
    await asyncio.sleep(0)
    assert not waiting.done()

    backlog.update(holding(100))

    assert await asyncio.wait_for(waiting, 5)


async def test_who_is_told_to_stop_waits_no_longer() -> None:
    backlog = Backlog(process(), ["price"])
    backlog.update(holding(10_000))
    waiting = asyncio.create_task(backlog.has_room())
    await asyncio.sleep(0)

    backlog.stop()

    assert not await asyncio.wait_for(waiting, 5)
    assert not await backlog.has_room()


async def test_what_any_worker_of_the_process_wrote_since_the_look_counts_for_all() -> None:
    shared = process()
    mine, other = Backlog(shared, ["price"]), Backlog(shared, ["price"])
    for backlog in (mine, other):
        backlog.update(holding(100))

    wrote(mine, {f"appended:{PRICE}": 500 + 10_000})

    assert not mine.is_open
    wrote(other, {})
    assert not other.is_open


async def test_what_readers_settled_since_the_look_is_known_when_the_room_could_be_used_up() -> None:
    backlog = Backlog(process(), ["price"])
    backlog.update(holding(0))

    was_open = []
    for written, read in [(9_999, 0), (10_000, 9_000), (18_999, 9_000), (19_000, 9_000)]:
        wrote(backlog, {f"appended:{PRICE}": 500 + written, f"settled:out:{PRICE}": 500 + read})
        was_open.append(backlog.is_open)

    assert was_open == [True, True, True, False]


async def test_records_that_readers_put_off_take_room_too() -> None:
    backlog = Backlog(process(), ["price"])
    idle = StageState(lag=0, pending=0, retry=0, dead=0, idle=True)
    backlog.update(PipelineState({"out": idle}, {PRICE: 0}, settled={PRICE: 500}))

    was_open = []
    for put_off in (5, 1_001):
        totals = {f"appended:{PRICE}": 500 + 9_000 + put_off, f"settled:out:{PRICE}": 500 + put_off}
        wrote(backlog, totals | {"out:retried": put_off})
        was_open.append(backlog.is_open)

    assert was_open == [True, False]


async def test_what_the_chain_does_not_write_is_no_reason_to_wait() -> None:
    backlog = Backlog(process(), ["read"])

    backlog.update(holding(10_000))

    assert backlog.is_open


async def test_on_a_stream_that_others_read_its_own_writes_count_until_the_next_look() -> None:
    shared = stage(outputs={"": StreamRef("orders-out", external=True)})
    of = graph(source(), shared, sink("out", StreamRef("orders-out", external=True)))
    backlog = Backlog(Process(StreamClient.from_url("redis://127.0.0.1:1"), of, halt, ["price"]), ["price"])
    backlog.update(PipelineState({}, {"orders-out": 9_998}))

    own, others = Output("orders-out", ["data", b"{}"]), Output("elsewhere", ["data", b"{}"])
    was_open = [backlog.is_open]
    for outputs in [(own,), (others,), (own, others)]:
        wrote(backlog, {}, *outputs)
        was_open.append(backlog.is_open)
    backlog.update(PipelineState({}, {"orders-out": 5}))

    assert was_open == [True, True, True, False]
    assert backlog.is_open


def test_a_consumer_is_told_once_when_it_is_full_and_once_when_there_is_room() -> None:
    backlog = Backlog(process(), ["price"])
    consumer = Consumer()
    backlog.control(consumer)

    for records in (9_995, 10_000, 10_003, 9_999, 9_998):
        backlog.update(holding(records))

    assert consumer.turns == ["closed", "open"]


def test_a_consumer_that_begins_while_it_is_full_is_paused() -> None:
    backlog = Backlog(process(), ["price"])
    backlog.update(holding(10_000))

    consumer = Consumer()
    backlog.control(consumer)

    assert consumer.turns == ["closed"]
