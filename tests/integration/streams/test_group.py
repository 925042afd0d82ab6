"""A consumer group is created once, described as it is, and never silently begun again."""

from __future__ import annotations

import asyncio

import pytest

from rsq_pipe.errors import GroupLostError
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.group import ConsumerGroup
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.producer import StreamProducer
from tests.integration.streams.conftest import Consume
from tests.support.consumers import GROUP, Holdup, Recorder, copy_to, numbers_in, pending, running
from tests.support.signals import PATIENCE, wait_until


async def destroy(client: StreamClient, stream: str) -> None:
    await client.channel.execute("XGROUP", "DESTROY", stream, GROUP, key=stream)


async def test_a_lost_group_goes_on_where_the_consumer_was_and_handles_nothing_twice(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume
) -> None:
    handler = Recorder()

    async with running(consume(handler)):
        await producer.push_many([{"n": n} for n in range(100)])
        await wait_until(lambda: len(handler.messages) == 100)
        await wait_until(lambda: _settled(client, stream))
        await destroy(client, stream)
        await producer.push_many([{"n": n} for n in range(100, 200)])
        await wait_until(lambda: len(handler.messages) >= 200)

    assert handler.numbers == list(range(200))


async def _settled(client: StreamClient, stream: str) -> bool:
    return await pending(client, stream) == 0


async def test_a_batch_in_hand_when_its_group_is_lost_is_not_lost_with_it(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume
) -> None:
    slow = Holdup()
    consumer = consume(slow)

    async with running(consumer):
        await producer.push_many([{"n": n} for n in range(5)])
        await asyncio.wait_for(slow.started.wait(), PATIENCE)
        await destroy(client, stream)
        slow.may_end.set()
        await wait_until(lambda: consumer.metrics().total_acked == 5)

    assert await pending(client, stream) == 0


async def test_what_was_pending_when_its_group_was_lost_comes_back(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume
) -> None:
    handler = Recorder(lambda message: message.data["n"] != 1 or message.delivery_count > 1)
    later = Recorder()
    consumer = consume(handler, min_idle_claim_ms=60_000)

    async with running(consumer):
        await producer.push_many([{"n": n} for n in range(4)])
        await wait_until(lambda: consumer.metrics().total_acked == 3)
        await destroy(client, stream)
        await producer.push({"n": 4})
        await wait_until(lambda: consumer.metrics().total_acked == 4)

    async with running(consume(later)):
        await wait_until(lambda: later.messages)
    assert (handler.numbers, later.numbers) == ([0, 1, 2, 3, 4], [1])
    assert await pending(client, stream) == 0


async def test_a_turn_after_its_group_was_lost_makes_it_anew_and_what_was_pending_comes_back(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume
) -> None:
    handler = Recorder(lambda message: message.data["n"] != 1 or len(handler.messages) > 3)
    consumer = consume(handler, block_ms=10)
    await producer.push_many([{"n": n} for n in range(3)])
    await consumer.run_once()
    await destroy(client, stream)

    with pytest.raises(GroupLostError):
        await consumer.run_once()
    await consumer.run_once()

    assert handler.numbers == [0, 1, 2, 1]
    assert await pending(client, stream) == 0


async def test_what_another_consumer_had_in_hand_when_the_group_was_lost_is_read_again(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume
) -> None:
    handler = Recorder()
    consumer = consume(handler, min_idle_claim_ms=60_000, block_ms=10)
    await consumer.run_once()
    await producer.push_many([{"n": n} for n in range(6)])
    await client.read(stream, GROUP, "other", count=3)
    await consumer.run_once()
    assert handler.numbers == [3, 4, 5]
    await destroy(client, stream)

    with pytest.raises(GroupLostError):
        await consumer.run_once()
    await consumer.run_once()

    assert {0, 1, 2} <= set(handler.numbers)


async def test_a_consumer_told_to_halt_raises_when_its_group_is_lost_and_does_not_recreate_it(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume
) -> None:
    handler = Recorder()
    run = asyncio.create_task(consume(handler, halt_on_fault=True).run())
    await producer.push({"n": 1})
    await wait_until(lambda: handler.messages)

    await destroy(client, stream)

    with pytest.raises(GroupLostError) as raised:
        await asyncio.wait_for(run, PATIENCE)
    assert (raised.value.stream, raised.value.group) == (stream, GROUP)
    assert await client.group_info(stream) == []


async def test_a_consumer_told_to_halt_lets_the_batch_in_hand_end(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume
) -> None:
    ended: list[bool] = []
    slow = Holdup()

    async def handler(messages: list[StreamMessage]) -> list[str]:
        ids = await slow(messages)
        ended.append(True)
        return ids

    consumer = consume(handler, halt_on_fault=True, min_idle_claim_ms=50)
    run = asyncio.create_task(consumer.run())
    await producer.push({"n": 1})
    await asyncio.wait_for(slow.started.wait(), PATIENCE)
    await destroy(client, stream)
    await wait_until(consumer._stopping.is_set)
    slow.may_end.set()

    with pytest.raises(GroupLostError):
        await asyncio.wait_for(run, PATIENCE)
    assert ended == [True]


async def test_a_flushed_stream_is_begun_again(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume
) -> None:
    handler = Recorder()

    async with running(consume(handler)):
        await producer.push({"n": 1})
        await wait_until(lambda: handler.messages)
        await client.channel.execute("DEL", stream, key=stream)
        await producer.push({"n": 2})
        await wait_until(lambda: len(handler.messages) == 2)

    assert handler.numbers == [1, 2]


async def test_a_new_group_begins_where_it_is_told(client: StreamClient, name: str) -> None:
    await client.push(name, '{"n":1}')

    assert await client.create_group(name, "news", start_id="$")
    assert not await client.create_group(name, "news", start_id="0")

    await client.push(name, '{"n":2}')
    assert [message.data for message in await client.read(name, "news", "c")] == [b'{"n":2}']


async def test_stats_tell_what_is_there(client: StreamClient, producer: StreamProducer, stream: str) -> None:
    await producer.push_many([{"n": n} for n in range(10)])
    await client.read(stream, GROUP, "c", count=4)

    stats = await ConsumerGroup(client, stream, GROUP).stats(dlq_stream=f"{stream}:dlq")

    assert (stats.stream_length, stats.group_pel_size, stats.lag, stats.dlq_length) == (10, 4, 6, 0)
    assert [(info.name, info.pending) for info in stats.consumers] == [("c", 4)]


async def test_an_unknown_lag_is_none_and_an_issue_not_zero(
    client: StreamClient, producer: StreamProducer, stream: str
) -> None:
    ids = await producer.push_many([{"n": n} for n in range(10)])
    await client.read(stream, GROUP, "c", count=2)
    await client.channel.execute("XDEL", stream, ids[5], key=stream)
    group = ConsumerGroup(client, stream, GROUP)

    assert (await group.stats()).lag is None

    health = await group.health_check()
    assert not health["healthy"]
    assert "the lag is unknown" in health["issues"][0]


@pytest.mark.parametrize("missing", ["stream", "group"])
async def test_a_missing_group_is_an_error_not_healthy_zeros(
    client: StreamClient, stream: str, missing: str
) -> None:
    group = ConsumerGroup(client, *((stream, "none") if missing == "group" else ("none-" + stream, GROUP)))

    with pytest.raises(GroupLostError):
        await group.stats()
    health = await group.health_check()

    assert (health["healthy"], health["stats"]) == (False, None)


async def test_consumers_that_hold_nothing_are_no_issue_and_those_that_do_are(
    client: StreamClient, producer: StreamProducer, stream: str
) -> None:
    for number in range(20):
        await client.channel.execute("XGROUP", "CREATECONSUMER", stream, GROUP, f"old-{number}", key=stream)
    group = ConsumerGroup(client, stream, GROUP)
    assert (await group.health_check(max_idle_ms=0))["healthy"]

    await producer.push({"n": 1})
    await client.read(stream, GROUP, "stuck")
    await wait_until(lambda: client.pending_range(stream, GROUP, min_idle_ms=5))

    health = await group.health_check(max_idle_ms=1, dlq_stream=stream)
    assert [issue[: issue.index(" and" if "consumer" in issue else " in")] for issue in health["issues"]] == [
        "consumer stuck holds 1 entries",
        "1 dead letters wait",
    ]


async def test_a_group_is_remembered_until_reset(client: StreamClient, name: str) -> None:
    group = ConsumerGroup(client, name, GROUP)
    await group.ensure(dlq_stream=f"{name}-dlq", dlq_group="ops")
    await destroy(client, name)

    await group.ensure()
    assert await client.group_info(name) == []
    group.reset()
    await group.ensure()

    assert [info.name for info in await client.group_info(name)] == [GROUP]
    assert [info.name for info in await client.group_info(f"{name}-dlq")] == ["ops"]


async def test_pending_details_list_what_is_delivered_and_not_acknowledged(
    client: StreamClient, producer: StreamProducer, stream: str
) -> None:
    ids = await producer.push_many([{"n": n} for n in range(5)])
    await client.read(stream, GROUP, "c", count=3)

    details = await ConsumerGroup(client, stream, GROUP).pending_details(count=2)

    assert [(entry.id, entry.consumer, entry.delivery_count) for entry in details] == [
        (entry_id, "c", 1) for entry_id in ids[:2]
    ]


async def test_a_copy_is_written_once_although_the_group_was_lost_before_the_settlement(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume, output: str
) -> None:
    consumer = consume(copy_to(output))
    async with running(consumer):
        await producer.push({"n": 0})
        await wait_until(lambda: consumer.metrics().total_acked == 1)
        await destroy(client, stream)
        await producer.push({"n": 1})
        await wait_until(lambda: consumer.metrics().total_acked == 2)

    assert await numbers_in(client, output) == [0, 1]
