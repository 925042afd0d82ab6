"""Entries of consumers that died are taken over, a bounded number at a time, with true delivery counts."""

from __future__ import annotations

import time

import pytest

from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.in_flight import InFlight
from rsq_pipe.streams.producer import StreamProducer
from rsq_pipe.streams.reclaim import PendingSeen
from rsq_pipe.streams.redelivery import Rules
from rsq_pipe.streams.settlement import Entry
from tests.integration.streams.conftest import Consume
from tests.support.consumers import GROUP, Recorder, copy_to, pending, running
from tests.support.signals import wait_until


@pytest.fixture
async def abandoned(client: StreamClient, producer: StreamProducer, stream: str) -> list[str]:
    """Ids of 250 entries that a consumer `dead` was given and left."""
    ids = await producer.push_many([{"n": n} for n in range(250)])
    await client.read(stream, GROUP, "dead", count=1_000)
    return ids


async def test_what_a_dead_consumer_left_is_handled_one_entry_at_a_time(
    client: StreamClient, abandoned: list[str], stream: str, consume: Consume
) -> None:
    handler = Recorder()

    async with running(consume(handler, min_idle_claim_ms=50)):
        await wait_until(lambda: len(handler.messages) == 250)

    assert (handler.numbers, set(handler.batches)) == (list(range(250)), {1})
    assert {message.delivery_count for message in handler.messages} == {2}
    assert await pending(client, stream) == 0


async def test_entries_far_from_their_last_delivery_are_handed_out_in_batches(
    client: StreamClient, abandoned: list[str], stream: str, consume: Consume
) -> None:
    handler = Recorder()

    async with running(consume(handler, min_idle_claim_ms=50, batch_size=60, max_deliveries=5)):
        await wait_until(lambda: len(handler.messages) == 250)

    assert (handler.numbers, max(handler.batches)) == (list(range(250)), 60)


async def test_an_entry_near_its_last_delivery_is_handed_out_alone(
    client: StreamClient, abandoned: list[str], stream: str
) -> None:
    for _ in range(2):
        await client.redeliver(stream, GROUP, "dead", abandoned[1:2])

    groups = []
    waiting = abandoned[:4]
    while waiting:
        again = await client.redeliver(stream, GROUP, "dead", waiting, Rules(alone_from=4))
        groups.append([(waiting.index(entry.id), entry.deliveries) for entry in again.entries])
        waiting = waiting[again.dealt :]

    assert groups == [[(0, 2)], [(0, 4)], [(0, 2), (1, 2)]]


async def test_entries_behind_one_whose_settlement_failed_are_let_go(
    client: StreamClient, abandoned: list[str], stream: str, consume: Consume, name: str
) -> None:
    wrong = f"{{{name}}}:wrong"
    await client.channel.execute("SET", wrong, "text", key=wrong)
    errors: list[BaseException] = []
    consumer = consume(copy_to(wrong), min_idle_claim_ms=50, error_hook=errors.append)

    async with running(consumer):
        await wait_until(lambda: errors)
        await wait_until(lambda: len(consumer._in_flight) == 0)


async def test_one_turn_takes_over_a_bounded_number_of_entries(
    client: StreamClient, abandoned: list[str], stream: str, consume: Consume
) -> None:
    consumer = consume(Recorder(), min_idle_claim_ms=1)
    await wait_until(lambda: client.pending_range(stream, GROUP, min_idle_ms=5))

    turns = [len(await consumer._reclaim.tick()) for _ in range(3)]

    assert turns == [100, 100, 50]


async def test_what_was_left_is_done_in_one_go_and_not_a_turn_of_the_reclaim_apart(
    client: StreamClient, abandoned: list[str], stream: str, consume: Consume
) -> None:
    as_if_long_ago = ("IDLE", 600_000, "JUSTID")
    await client.channel.execute("XCLAIM", stream, GROUP, "dead", 0, *abandoned, *as_if_long_ago, key=stream)
    handler = Recorder()

    # 250 entries are three turns; the next scheduled turn would be five minutes away.
    async with running(consume(handler, min_idle_claim_ms=600_000)):
        await wait_until(lambda: len(handler.messages) == 250)


async def test_new_entries_wait_for_a_pass_of_reclaimed_ones_and_not_for_all_of_them(
    client: StreamClient, abandoned: list[str], producer: StreamProducer, consume: Consume
) -> None:
    await wait_until(lambda: client.pending_range(producer.stream, GROUP, min_idle_ms=50))
    await producer.push_many([{"n": -1} for _ in range(50)])
    handler = Recorder()

    async with running(consume(handler, batch_size=1, min_idle_claim_ms=50)):
        await wait_until(lambda: len(handler.messages) == 300)

    # A new entry may be in flight when the reclaim begins; then come passes of 100.
    first_reclaimed = handler.numbers.index(0)
    assert handler.numbers[first_reclaimed : first_reclaimed + 100] == list(range(100))
    assert -1 in handler.numbers[: first_reclaimed + 250]


async def test_entries_deleted_from_the_stream_are_forgotten_not_handed_out(
    client: StreamClient, abandoned: list[str], stream: str, consume: Consume
) -> None:
    await client.channel.execute("XDEL", stream, *abandoned[:200], key=stream)
    handler = Recorder()

    async with running(consume(handler, min_idle_claim_ms=50)):
        await wait_until(lambda: len(handler.messages) == 50)
        await wait_until(lambda: _none_pending(client, stream))

    assert handler.numbers == list(range(200, 250))


async def _none_pending(client: StreamClient, stream: str) -> bool:
    return await pending(client, stream) == 0


async def test_an_entry_deleted_after_it_was_taken_over_is_acknowledged_not_handed_out(
    client: StreamClient, abandoned: list[str], stream: str
) -> None:
    await client.channel.execute("XDEL", stream, abandoned[0], key=stream)

    assert (await client.redeliver(stream, GROUP, "dead", abandoned[:1])).entries == []

    assert await pending(client, stream) == 249


async def test_autoclaim_sweeps_the_whole_pending_list_unless_its_passes_are_counted_and_counts_deliveries(
    client: StreamClient, abandoned: list[str], stream: str
) -> None:
    await client.channel.execute("XDEL", stream, abandoned[1], key=stream)

    first = await client.autoclaim(stream, GROUP, "b", min_idle_ms=0, count=4, max_passes=1)
    again = await client.autoclaim(stream, GROUP, "c", min_idle_ms=0, count=3, max_passes=1)

    assert [message.id for message in first] == [abandoned[0], *abandoned[2:4]]
    assert [message.delivery_count for message in (*first, *again)] == [2, 2, 2, 3, 3, 3]
    assert len(await client.autoclaim(stream, GROUP, "d", min_idle_ms=0, count=40)) == 249
    assert await client.autoclaim(stream, GROUP, "e", min_idle_ms=60_000, count=10) == []


async def test_autoclaim_looks_no_further_than_its_passes(
    client: StreamClient, abandoned: list[str], stream: str
) -> None:
    await client.channel.execute("XDEL", stream, *abandoned[:100], key=stream)

    found = await client.autoclaim(stream, GROUP, "b", min_idle_ms=0, count=10, max_passes=1)

    assert found == []


async def test_a_heartbeat_steals_nothing_back(
    client: StreamClient, abandoned: list[str], stream: str
) -> None:
    own = [Entry(stream, entry_id) for entry_id in abandoned]
    in_flight = InFlight(client.channel, GROUP, "dead", lambda: own)
    taken = await client.autoclaim(stream, GROUP, "b", min_idle_ms=0, count=10, max_passes=1)

    await in_flight.keep_alive()

    held = await client.pending_range(stream, GROUP, count=1_000, consumer="b")
    assert [entry.id for entry in held] == [message.id for message in taken]
    alive = await client.pending_range(stream, GROUP, count=1_000, consumer="dead")
    assert {entry.delivery_count for entry in alive} == {1}


async def test_a_redelivery_of_what_another_took_over_hands_out_nothing(
    client: StreamClient, abandoned: list[str], stream: str
) -> None:
    await client.autoclaim(stream, GROUP, "b", min_idle_ms=0, count=1, max_passes=1)

    assert (await client.redeliver(stream, GROUP, "dead", abandoned[:1])).entries == []

    (entry,) = await client.pending_range(stream, GROUP, count=1)
    assert (entry.consumer, entry.delivery_count) == ("b", 2)


async def test_names_of_consumers_that_are_gone_are_removed_only_when_they_hold_nothing(
    client: StreamClient, abandoned: list[str], stream: str, consume: Consume
) -> None:
    await client.channel.execute("XGROUP", "CREATECONSUMER", stream, GROUP, "idle", key=stream)
    consumer = consume(Recorder(), min_idle_claim_ms=1)
    await wait_until(lambda: _idle_names(client, stream, 100))

    assert await consumer._membership.forget_the_gone() == ["idle"]

    assert [info.name for info in await client.consumer_info(stream, GROUP)] == ["dead"]


async def _idle_names(client: StreamClient, stream: str, milliseconds: int) -> bool:
    return all(info.idle_ms > milliseconds for info in await client.consumer_info(stream, GROUP))


async def test_a_running_consumer_removes_such_names_by_itself(
    client: StreamClient, stream: str, consume: Consume
) -> None:
    await client.channel.execute("XGROUP", "CREATECONSUMER", stream, GROUP, "idle", key=stream)
    await wait_until(lambda: _idle_names(client, stream, 100))
    consumer = consume(Recorder(), min_idle_claim_ms=1)

    async with running(consumer):
        await wait_until(lambda: consumer._membership._turns)

    assert await client.consumer_info(stream, GROUP) == []


async def test_a_stream_beyond_its_size_loses_only_what_was_acknowledged(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume
) -> None:
    await client.create_group(stream, "other")
    await producer.push_many([{"n": n} for n in range(100)])
    await client.read(stream, "other", "slow", count=40)
    ids = [entry.id for entry in await client.pending_range(stream, "other")]
    await client.ack(stream, "other", ids[:30])
    consumer = consume(Recorder(), max_stream_size=10)

    await consumer.run_once()

    assert await client.stream_len(stream) == 70


async def test_where_nothing_was_pending_a_moment_ago_nothing_is_looked_for(
    client: StreamClient, abandoned: list[str], stream: str, consume: Consume
) -> None:
    seen = PendingSeen()
    consumer = consume(Recorder(), min_idle_claim_ms=1_000, pending_seen=seen)
    await wait_until(lambda: client.pending_range(stream, GROUP, min_idle_ms=1_000))

    seen.update(time.monotonic(), is_none=True)
    assert await consumer._reclaim.tick() == []

    seen.update(
        time.monotonic() - 1, is_none=True
    )  # it knows better than that: a look says no more than it saw
    assert await consumer._reclaim.tick() == []
    seen.update(time.monotonic(), is_none=False)
    assert len(await consumer._reclaim.tick()) == 100


async def test_a_look_that_is_as_old_as_entries_may_be_rules_nothing_out(
    client: StreamClient, abandoned: list[str], stream: str, consume: Consume
) -> None:
    seen = PendingSeen()
    consumer = consume(Recorder(), min_idle_claim_ms=50, pending_seen=seen)
    await wait_until(lambda: client.pending_range(stream, GROUP, min_idle_ms=50))

    seen.update(time.monotonic() - 0.05, is_none=True)

    assert len(await consumer._reclaim.tick()) == 100


async def settled(client: StreamClient, stream: str) -> bool:
    return await pending(client, stream) == 0


async def test_what_is_handed_back_while_nothing_is_looked_for_is_taken_over_once_it_is_seen(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume
) -> None:
    seen, handler = PendingSeen(), Recorder()
    seen.update(time.monotonic() + 60, is_none=True)
    # The next scheduled turn is half a minute away.
    consumer = consume(handler, min_idle_claim_ms=60_000, pending_seen=seen)

    async with running(consumer):
        await wait_until(lambda: consumer._membership._turns)
        (entry,) = await producer.push_many([{"n": -1}])
        await wait_until(lambda: handler.messages)
        await wait_until(lambda: settled(client, stream))  # otherwise it would still be in flight here
        again = ("IDLE", 60_000, "FORCE", "JUSTID")
        await client.channel.execute("XCLAIM", stream, GROUP, "other", 0, entry, *again, key=stream)
        seen.update(time.monotonic(), is_none=False)
        await wait_until(lambda: len(handler.messages) == 2)

    assert await pending(client, stream) == 0
