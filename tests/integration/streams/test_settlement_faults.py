"""A settlement whose reply, group or scripts are lost is written once, or not at all."""

from __future__ import annotations

import asyncio

import pytest

from rsq_pipe.errors import GroupLostError, ServerUnavailableError, SettleError
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.producer import StreamProducer
from rsq_pipe.streams.settlement import (
    Counters,
    Settlement,
)
from tests.support.consumers import GROUP, copied, numbers_in, pending
from tests.support.proxy import Proxy
from tests.support.server import StreamServer


@pytest.fixture
async def batch(client: StreamClient, producer: StreamProducer, stream: str) -> list[StreamMessage]:
    """Ten entries that consumer `a` holds."""
    await producer.push_many([{"n": n} for n in range(10)])
    return await client.read(stream, GROUP, "a", count=10)


async def test_a_settlement_whose_reply_is_lost_neither_loses_nor_doubles(
    client: StreamClient, through_proxy: StreamClient, proxy: Proxy, batch: list[StreamMessage], output: str
) -> None:
    settlement = Settlement([copied(m, output) for m in batch])
    await through_proxy.settle(Settlement([copied(batch[0], output)]), group=GROUP, consumer="a")
    proxy.drop_reply_to(b"EVALSHA")

    with pytest.raises(ServerUnavailableError):
        await through_proxy.settle(settlement, group=GROUP, consumer="a")
    await through_proxy.settle(settlement, group=GROUP, consumer="a")

    assert await numbers_in(client, output) == list(range(10))


async def test_a_cancelled_settlement_runs_to_its_end(
    client: StreamClient, batch: list[StreamMessage], stream: str, output: str
) -> None:
    settling = asyncio.create_task(
        client.settle(Settlement([copied(m, output) for m in batch]), group=GROUP, consumer="a")
    )
    await asyncio.sleep(0)
    settling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await settling

    assert (await numbers_in(client, output), await pending(client, stream)) == (list(range(10)), 0)


async def test_a_settlement_for_a_group_that_is_gone_writes_nothing(
    client: StreamClient, batch: list[StreamMessage], stream: str, output: str
) -> None:
    await client.channel.execute("XGROUP", "DESTROY", stream, GROUP, key=stream)

    with pytest.raises(GroupLostError):
        await client.settle(Settlement([copied(m, output) for m in batch]), group=GROUP, consumer="a")

    assert await client.stream_len(output) == 0


@pytest.mark.parametrize("right", ["xack", "hincrby"])
async def test_a_settlement_of_a_user_who_lost_a_right_writes_nothing(
    own_server: StreamServer, name: str, right: str
) -> None:
    output = f"{{{name}}}:out"
    async with StreamClient.from_url(own_server.url) as admin:
        producer = StreamProducer(admin, f"{{{name}}}:in")
        await admin.create_group(producer.stream, GROUP)
        await producer.push_many([{"n": n} for n in range(10)])
        await admin.channel.execute(
            "ACL", "SETUSER", "worker", "on", ">pw", "~*", "+@all", f"-{right}", key=""
        )
        batch = await admin.read(producer.stream, GROUP, "a", count=10)
        settlement = Settlement(
            [copied(m, output) for m in batch], counters=Counters(f"{{{name}}}:counts", "a:")
        )

        async with StreamClient.from_url(f"redis://worker:pw@127.0.0.1:{own_server.port}") as worker:
            with pytest.raises(SettleError, match=f"'{right}'"):
                await worker.settle(settlement, group=GROUP, consumer="a")
            assert await admin.stream_len(output) == 0
            await admin.channel.execute("ACL", "SETUSER", "worker", f"+{right}", key="")
            await worker.settle(settlement, group=GROUP, consumer="a")

        assert await numbers_in(admin, output) == list(range(10))


async def test_a_server_that_forgot_its_scripts_is_taught_them_again(
    own_server: StreamServer, name: str
) -> None:
    async with StreamClient.from_url(own_server.url) as client:
        producer = StreamProducer(client, name)
        await producer.push({"n": 1})
        await client.channel.execute("SCRIPT", "FLUSH", key=name)

        await producer.push({"n": 2})

        assert await numbers_in(client, name) == [1, 2]


async def test_a_server_whose_scripts_are_flushed_all_the_time_runs_each_of_them(
    own_server: StreamServer, name: str
) -> None:
    async with (
        StreamClient.from_url(own_server.url) as client,
        StreamClient.from_url(own_server.url) as other,
    ):
        producer = StreamProducer(client, name)
        flushing = asyncio.gather(*[_flush_for_ever(other, name) for _ in range(4)])

        # Large enough that the server reads it in several turns, and serves others between them.
        padding = {"pad": "x" * 1_000_000}
        try:
            for n in range(100):
                await producer.push({"n": n}, padding)
        finally:
            flushing.cancel()
            await asyncio.wait([flushing])
        assert await client.stream_len(name) == 100


async def _flush_for_ever(client: StreamClient, key: str) -> None:
    while True:
        await client.channel.execute("SCRIPT", "FLUSH", key=key)
