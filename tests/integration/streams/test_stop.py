"""Stopping is quick, finishes what is in flight, hands back the rest and leaves nothing behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest

from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.consumer import StreamConsumer
from rsq_pipe.streams.producer import StreamProducer
from tests.integration.streams.conftest import Consume
from tests.support.consumers import GROUP, Holdup, Recorder, copy_to, numbers_in, pending, running, settings
from tests.support.proxy import Proxy
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, wait_until

FOREVER = 600_000
"""A read of so many milliseconds ends only if it is ended."""

TRIES = 5
"""How often a stop may be slow: on a busy machine nobody is woken within a tenth of a second every time."""


async def blocked(consumer: StreamConsumer) -> None:
    await wait_until(lambda: consumer._reader._blocked)


async def ended_within(seconds: float, stop: Callable[[], Awaitable[float]]) -> bool:
    """Whether one of several stops takes no longer than this; they have to come to an end in any case."""
    for _ in range(TRIES):
        if await stop() < seconds:
            return True
    return False


async def test_stop_ends_a_blocked_read_within_a_tenth_of_a_second(consume: Consume) -> None:
    async def stop() -> float:
        consumer = consume(Recorder(), block_ms=FOREVER)
        run = asyncio.create_task(consumer.run())
        await blocked(consumer)

        began = time.perf_counter()
        consumer.stop()
        await asyncio.wait_for(run, PATIENCE)
        return time.perf_counter() - began

    assert await ended_within(0.1, stop)


async def test_stop_ends_a_read_within_a_tenth_of_a_second_although_the_server_hangs(
    through_proxy: StreamClient, proxy: Proxy, consume: Consume
) -> None:
    async def stop() -> float:
        await proxy.forward()
        consumer = consume(Recorder(), through=through_proxy, block_ms=FOREVER)
        run = asyncio.create_task(consumer.run())
        await blocked(consumer)
        proxy.hang()

        began = time.perf_counter()
        consumer.stop()
        await wait_until(lambda: not consumer._reader._blocked)
        took = time.perf_counter() - began

        await proxy.refuse()
        await asyncio.wait_for(run, PATIENCE)
        return took

    assert await ended_within(0.1, stop)


@pytest.mark.parametrize("turns", range(0, 12, 2))
async def test_stop_wins_at_every_moment_before_a_read_blocks(consume: Consume, turns: int) -> None:
    async def stop() -> float:
        consumer = consume(Recorder(), block_ms=FOREVER)
        run = asyncio.create_task(consumer.run())
        await wait_until(lambda: consumer._membership._ensured)
        for _ in range(turns):
            await asyncio.sleep(0)

        began = time.perf_counter()
        consumer.stop()
        await asyncio.wait_for(run, PATIENCE)
        return time.perf_counter() - began

    assert await ended_within(0.2, stop)


async def test_an_interruption_before_a_read_keeps_it_from_blocking(consume: Consume) -> None:
    reader = consume(Recorder())._reader
    await reader.interrupt()

    assert (await asyncio.wait_for(reader.read(10, FOREVER), PATIENCE)).entries == []


async def test_stop_ends_a_read_of_a_user_who_may_not_unblock(
    server: StreamServer, client: StreamClient, stream: str, name: str
) -> None:
    rights = ("on", ">secret", "~*", "+@all", "-client")
    await client.channel.execute("ACL", "SETUSER", name, *rights, key="")
    async with StreamClient("127.0.0.1", server.port, username=name, password="secret") as limited:
        consumer = StreamConsumer(limited, stream, settings(block_ms=FOREVER), Recorder())
        run = asyncio.create_task(consumer.run())
        await blocked(consumer)

        consumer.stop()

        await asyncio.wait_for(run, PATIENCE)


async def test_a_paused_consumer_stops(consume: Consume) -> None:
    consumer = consume(Recorder())
    consumer.pause()
    run = asyncio.create_task(consumer.run())
    await wait_until(lambda: consumer._membership._turns)

    consumer.stop()

    await asyncio.wait_for(run, PATIENCE)


async def test_stop_has_a_batch_handled_that_waits_to_be_full(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume
) -> None:
    await producer.push_many([{"n": n} for n in range(3)])
    recorder = Recorder()
    consumer = consume(recorder, batch_size=10, batch_wait_ms=60_000)
    run = asyncio.create_task(consumer.run())
    await wait_until(lambda: len(consumer._in_flight) == 3)

    consumer.stop()
    await asyncio.wait_for(run, PATIENCE)

    assert [message.data["n"] for message in recorder.messages] == [0, 1, 2]
    assert await pending(client, stream) == 0


async def test_stop_finishes_and_settles_the_batch_in_hand(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume
) -> None:
    await producer.push_many([{"n": n} for n in range(20)])
    slow = Holdup()
    consumer = consume(slow, batch_size=10)
    run = asyncio.create_task(consumer.run())
    await asyncio.wait_for(slow.started.wait(), PATIENCE)

    consumer.stop()
    slow.may_end.set()
    await asyncio.wait_for(run, PATIENCE)

    assert slow.handled == list(range(10))
    assert await pending(client, stream) == 0
    (first, *_) = await client.read(stream, GROUP, "next")
    assert first.data == b'{"n":10}'


async def test_what_is_handed_back_is_due_at_once(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume
) -> None:
    await producer.push_many([{"n": n} for n in range(5)])
    async with running(consume(Recorder(lambda message: False), min_idle_claim_ms=60_000)):
        await wait_until(lambda: client.pending_range(stream, GROUP))

    handler = Recorder()
    async with running(consume(handler, min_idle_claim_ms=60_000)):
        await wait_until(lambda: len(handler.messages) == 5)

    assert {message.delivery_count for message in handler.messages} == {2}


@pytest.mark.parametrize(("has_begun", "counted"), [(False, 1), (True, 2)])
async def test_what_a_pulled_consumer_hands_back_counts_as_new_unless_it_had_begun_and_as_tried_once_then(
    client: StreamClient,
    producer: StreamProducer,
    stream: str,
    consume: Consume,
    has_begun: bool,
    counted: int,
) -> None:
    await producer.push_many([{"n": n} for n in range(5)])
    deliveries = []
    for _ in range(3):
        consumer = consume(None, min_idle_claim_ms=60_000)
        async with aclosing(consumer.batches()) as batches:
            entries = await anext(batches)
            consumer.has_begun = has_begun
        deliveries.append({entry.deliveries for entry in entries})

    assert deliveries == [{1}, {counted}, {counted}]


async def test_a_cancelled_run_hands_back_what_its_handler_had(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume
) -> None:
    await producer.push({"n": 1})
    slow, handler = Holdup(), Recorder()
    run = asyncio.create_task(consume(slow, min_idle_claim_ms=60_000).run())
    await asyncio.wait_for(slow.started.wait(), PATIENCE)

    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    async with running(consume(handler, min_idle_claim_ms=60_000)):
        await wait_until(lambda: handler.messages)


@pytest.mark.parametrize("milliseconds", range(0, 40, 4))
async def test_a_run_cancelled_at_any_moment_loses_and_doubles_nothing(
    client: StreamClient, producer: StreamProducer, consume: Consume, output: str, milliseconds: int
) -> None:
    await producer.push_many([{"n": n} for n in range(300)])
    run = asyncio.create_task(consume(copy_to(output), batch_size=10).run())
    await asyncio.wait([run], timeout=milliseconds / 1000)
    run.cancel()
    await asyncio.wait([run])

    async with running(consume(copy_to(output))):
        await wait_until(lambda: _stored(client, output, 300))

    assert sorted(await numbers_in(client, output)) == list(range(300))


async def _stored(client: StreamClient, stream: str, count: int) -> bool:
    return await client.stream_len(stream) >= count


async def test_stop_before_run_and_stop_twice_are_harmless(
    client: StreamClient, stream: str, consume: Consume
) -> None:
    consumer = consume(Recorder())
    consumer.stop()
    consumer.stop()

    await asyncio.wait_for(consumer.run(), PATIENCE)

    assert await client.consumer_info(stream, GROUP) == []


async def test_fifty_consumers_started_and_stopped_at_once_leave_nothing_behind(
    server: StreamServer, client: StreamClient, producer: StreamProducer, stream: str, name: str
) -> None:
    before = asyncio.all_tasks()
    async with StreamClient.from_url(server.url, client_name=name) as busy:
        await producer.push_many([{"n": n} for n in range(500)])
        handlers = [Recorder() for _ in range(50)]
        # None of them dies, so none may be taken for dead: on a busy machine one is not heard of for seconds.
        alive = {"batch_size": 5, "min_idle_claim_ms": 600_000}
        consumers = [StreamConsumer(busy, stream, settings(**alive), handler) for handler in handlers]

        async with running(*consumers):
            await wait_until(lambda: sum(len(handler.messages) for handler in handlers) >= 500)
            assert await _connections(client, name) > 50

    assert sorted(n for handler in handlers for n in handler.numbers) == list(range(500))
    assert await client.consumer_info(stream, GROUP) == []
    assert asyncio.all_tasks() == before
    await wait_until(lambda: _no_connections(client, name))


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8])
async def test_consumers_stopped_as_they_start_leave_nothing_behind(
    server: StreamServer, client: StreamClient, stream: str, name: str, turns: int
) -> None:
    before = asyncio.all_tasks()
    async with StreamClient.from_url(server.url, client_name=name) as busy:
        consumers = [StreamConsumer(busy, stream, settings(), Recorder()) for _ in range(10)]
        async with running(*consumers):
            for _ in range(turns):
                await asyncio.sleep(0)

    assert asyncio.all_tasks() == before
    assert await client.consumer_info(stream, GROUP) == []
    await wait_until(lambda: _no_connections(client, name))


async def _connections(client: StreamClient, name: str) -> int:
    listing = await client.channel.execute("CLIENT", "LIST", key="")
    return int(listing.decode().count(f"name={name} "))


async def _no_connections(client: StreamClient, name: str) -> bool:
    return await _connections(client, name) == 0
