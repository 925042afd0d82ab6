"""Who pulls may have the next batch read while one is handled; nobody is worse off for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.consumer import StreamConsumer
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.producer import StreamProducer
from rsq_pipe.streams.settlement import Entry, Settlement
from tests.integration.streams.conftest import Consume
from tests.support.consumers import pending
from tests.support.signals import wait_until

Batches = AsyncGenerator[Sequence[RawEntry], None]


async def fill(producer: StreamProducer, count: int, size: int = 0) -> None:
    await producer.push_many([{"n": n, "text": "x" * size} for n in range(count)])


async def done(consumer: StreamConsumer, batch: Sequence[RawEntry]) -> None:
    await consumer.settle(Settlement.ack(Entry(one.stream, one.id, one.deliveries) for one in batch))


async def second(consumer: StreamConsumer, batches: Batches) -> Sequence[RawEntry]:
    """Be done with the first batch, and take the next one: how long batches take is known from then on."""
    await done(consumer, await anext(batches))
    return await anext(batches)


async def test_the_next_batch_is_read_while_one_is_handled(
    client: StreamClient, stream: str, producer: StreamProducer, consume: Consume
) -> None:
    await fill(producer, 8)
    consumer = consume(None, batch_size=2)

    async with aclosing(consumer.batches(ahead=True)) as batches:
        batch = await second(consumer, batches)

        await wait_until(lambda: _holds(client, stream, 4), what="two batches are in flight, and no third")
        await done(consumer, batch)
        assert len(await anext(batches)) == 2


async def _holds(client: StreamClient, stream: str, count: int) -> bool:
    return await pending(client, stream) == count


async def test_nothing_is_read_ahead_unasked(
    client: StreamClient, stream: str, producer: StreamProducer, consume: Consume
) -> None:
    await fill(producer, 8)
    consumer = consume(None, batch_size=2)

    async with aclosing(consumer.batches()) as batches:
        await second(consumer, batches)
        assert consumer._batches._reading is None
        assert await pending(client, stream) == 2


async def test_what_was_read_ahead_when_a_consumer_stops_was_never_handed_out(
    client: StreamClient, stream: str, producer: StreamProducer, consume: Consume
) -> None:
    await fill(producer, 8)
    consumer, other = consume(None, batch_size=2), consume(None, batch_size=8, worker_name="other")

    async with aclosing(consumer.batches(ahead=True)) as batches:
        batch = await second(consumer, batches)
        await wait_until(lambda: _holds(client, stream, 4), what="a batch was read ahead")
        consumer.stop()
        await done(consumer, batch)
        assert [batch async for batch in batches] == []

    taken: list[RawEntry] = []
    async with aclosing(other.batches()) as batches:
        while len(taken) < 4:
            batch = await anext(batches)
            taken += batch
            await done(other, batch)
    assert [entry.deliveries for entry in taken] == [1, 1, 1, 1]


async def test_who_takes_long_over_a_batch_reads_nothing_ahead(
    client: StreamClient, stream: str, producer: StreamProducer, consume: Consume
) -> None:
    await fill(producer, 8)
    consumer = consume(None, batch_size=2)

    async with aclosing(consumer.batches(ahead=True)) as batches:
        batch = await anext(batches)
        await asyncio.sleep(0.11)  # what it takes is what is tested
        await done(consumer, batch)
        await anext(batches)
        assert consumer._batches._reading is None
        assert await pending(client, stream) == 2


async def test_beside_a_large_batch_no_other_is_held(
    client: StreamClient, stream: str, producer: StreamProducer, consume: Consume
) -> None:
    await fill(producer, 6, size=2_100_000)
    consumer = consume(None, batch_size=2)

    async with aclosing(consumer.batches(ahead=True)) as batches:
        await second(consumer, batches)
        assert consumer._batches._reading is None
        assert await pending(client, stream) == 2


async def test_while_a_batch_is_not_full_nothing_waits_to_be_read_in_small_ones(
    producer: StreamProducer, consume: Consume
) -> None:
    await fill(producer, 12)
    consumer = consume(None, batch_size=10)

    async with aclosing(consumer.batches(ahead=True)) as batches:
        assert len(await second(consumer, batches)) == 2
        assert consumer._batches._reading is None


async def test_a_paused_consumer_hands_out_nothing_that_it_read_ahead(
    client: StreamClient, stream: str, producer: StreamProducer, consume: Consume
) -> None:
    await fill(producer, 8)
    consumer = consume(None, batch_size=2)

    async with aclosing(consumer.batches(ahead=True)) as batches:
        batch = await second(consumer, batches)
        await wait_until(lambda: _holds(client, stream, 4), what="a batch was read ahead")
        consumer.pause()
        await done(consumer, batch)
        following = asyncio.ensure_future(anext(batches))
        await wait_until(lambda: _holds(client, stream, 2), what="the batch is settled")
        assert not following.done()

        consumer.resume()
        assert len(await following) == 2
