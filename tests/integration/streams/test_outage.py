"""A server that goes away stops nothing but time; a full one still drains."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import AsyncIterator, Iterator

import pytest

from rsq_pipe.errors import ServerTimeoutError, ServerUnavailableError, StreamFullError
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.consumer import StreamConsumer
from rsq_pipe.streams.entry import fields_of
from rsq_pipe.streams.producer import StreamProducer
from rsq_pipe.streams.settlement import Output, Position, Settlement
from tests.support.consumers import GROUP, copied, copy_to, numbers_in, pending, running, settings
from tests.support.proxy import Proxy
from tests.support.server import StreamServer, binaries
from tests.support.signals import PATIENCE, wait_until


@pytest.fixture
async def own_client(own_server: StreamServer) -> AsyncIterator[StreamClient]:
    async with StreamClient.from_url(own_server.url) as client:
        yield client


async def test_a_consumer_outlives_a_restart_and_nothing_is_lost_or_doubled(
    own_server: StreamServer, own_client: StreamClient
) -> None:
    producer = StreamProducer(own_client, "in")
    errors: list[BaseException] = []
    consumer = StreamConsumer(
        own_client, "in", settings(batch_size=10), copy_to("out"), error_hook=errors.append
    )

    async with running(consumer):
        await producer.push_many([{"n": n} for n in range(500)])
        await wait_until(lambda: consumer.metrics().total_acked > 50)
        await asyncio.to_thread(own_server.restart)
        await producer.push_many([{"n": n} for n in range(500, 600)])
        await wait_until(lambda: _count(own_client, "out", 600))

    assert sorted(await numbers_in(own_client, "out")) == list(range(600))
    assert errors
    assert all(isinstance(error, ServerUnavailableError) for error in errors)
    assert await pending(own_client, "in") == 0


async def _count(client: StreamClient, stream: str, count: int) -> bool:
    try:
        return await client.stream_len(stream) >= count
    except ServerUnavailableError:
        return False


async def test_a_client_without_a_free_descriptor_cannot_reach_its_server_until_one_is_free(
    server: StreamServer, name: str
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with StreamClient.from_url(server.url) as client:
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            with pytest.raises(ServerUnavailableError, match="too many open files"):
                await client.push(name, "{}")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        await client.push(name, "{}")


async def test_a_consumer_waits_for_a_server_that_is_not_there_yet(
    own_server: StreamServer, own_client: StreamClient
) -> None:
    own_server.stop()
    errors: list[BaseException] = []
    consumer = StreamConsumer(own_client, "in", settings(), copy_to("out"), error_hook=errors.append)

    async with running(consumer):
        await wait_until(lambda: errors)
        await asyncio.to_thread(own_server.start)
        await own_client.push("in", '{"n":1}')
        await wait_until(lambda: _count(own_client, "out", 1))


async def test_stop_does_not_wait_for_a_server_that_is_gone(
    own_server: StreamServer, own_client: StreamClient
) -> None:
    consumer = StreamConsumer(own_client, "in", settings(), copy_to("out"))
    run = asyncio.create_task(consumer.run())
    await wait_until(lambda: consumer._reader._blocked)
    own_server.kill()

    consumer.stop()

    await asyncio.wait_for(run, PATIENCE)


async def test_a_server_that_hangs_is_a_timeout_of_ours(proxy: Proxy, name: str) -> None:
    async with StreamClient.from_url(proxy.url, socket_timeout=0.2) as client:
        await client.stream_len(name)
        proxy.hang()

        with pytest.raises(ServerTimeoutError):
            await client.stream_len(name)


async def test_a_timeout_of_the_callers_own_stays_the_callers(
    proxy: Proxy, through_proxy: StreamClient, name: str
) -> None:
    await through_proxy.stream_len(name)
    proxy.hang()

    with pytest.raises(TimeoutError) as raised:
        async with asyncio.timeout(0.1):
            await through_proxy.stream_len(name)

    assert type(raised.value) is TimeoutError


async def test_a_connection_whose_command_was_cancelled_is_not_used_again(
    proxy: Proxy, through_proxy: StreamClient, name: str
) -> None:
    await through_proxy.push(name, "{}")
    for _ in range(5):
        asking = asyncio.create_task(through_proxy.stream_len(name))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])

        assert [message.data for message in await through_proxy.fetch_by_ids(name, ["0-1"])] == []
        assert await through_proxy.stream_len(name) == 1


async def test_more_commands_than_connections_take_turns(server: StreamServer, name: str) -> None:
    async with StreamClient.from_url(server.url, max_connections=2) as client:
        await asyncio.gather(*[client.push(name, '{"n":1}') for _ in range(50)])

        assert await client.stream_len(name) == 50


async def test_a_command_that_gets_no_connection_in_time_says_what_to_raise(proxy: Proxy, name: str) -> None:
    async with StreamClient.from_url(proxy.url, max_connections=1, pool_timeout=0.1) as client:
        await client.stream_len(name)
        proxy.hang()
        first = asyncio.create_task(client.stream_len(name))
        await asyncio.sleep(0)

        with pytest.raises(ServerUnavailableError, match="raise max_connections"):
            await client.stream_len(name)

        first.cancel()
        await asyncio.wait([first])


@pytest.fixture(params=binaries())
def small_server(request: pytest.FixtureRequest) -> Iterator[StreamServer]:
    limits = {"maxmemory": "12mb", "maxmemory-policy": "noeviction"}
    with StreamServer(binaries()[request.param], config=limits) as running:
        yield running


PADDING = {"pad": "x" * 100_000}


async def fill(producer: StreamProducer) -> None:
    for n in range(10_000):
        await producer.push({"n": n}, PADDING)


async def test_a_server_at_its_memory_limit_takes_nothing_in_and_still_drains(
    small_server: StreamServer,
) -> None:
    async with StreamClient.from_url(small_server.url) as client:
        await client.create_group("in", GROUP)
        with pytest.raises(StreamFullError, match="maxmemory"):
            await fill(StreamProducer(client, "in"))
        with pytest.raises(StreamFullError):
            await client.push("in", '{"n":0}', PADDING)
        with pytest.raises(StreamFullError):
            await client.ingest(Position("meta", "file", "", "1"), [Output("in", fields_of(b"{}", PADDING))])
        stored = await client.stream_len("in")

        while batch := await client.read("in", GROUP, "c", count=100):
            await client.settle(Settlement([copied(m, "out") for m in batch]), group=GROUP, consumer="c")

        assert await numbers_in(client, "out") == list(range(stored))
        assert await pending(client, "in") == 0
