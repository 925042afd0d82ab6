"""A cluster does what one server does, also while a slot moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from rsq_pipe.errors import ServerUnavailableError, SettleError
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.consumer import StreamConsumer
from rsq_pipe.streams.producer import StreamProducer
from rsq_pipe.streams.settlement import Entry, Settlement
from rsq_pipe.streams.snapshot import take
from tests.support.cluster import Cluster
from tests.support.consumers import copy_to, numbers_in, pending, running, settings
from tests.support.server import StreamServer, binaries
from tests.support.signals import wait_until


@pytest.fixture(params=binaries())
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    async with Cluster(binaries()[request.param]) as running:
        yield running


async def test_records_flow_through_a_cluster_before_and_after_their_slot_moves(cluster: Cluster) -> None:
    async with StreamClient.from_url(cluster.url) as client:
        lanes = []
        for tag in ("a", "b", "c"):
            producer = StreamProducer(client, f"{{{tag}}}:in", max_len=10_000)
            consumer = StreamConsumer(client, producer.stream, settings(), copy_to(f"{{{tag}}}:out"))
            lanes.append((producer, consumer))
        # The three tags live on different nodes, or the test would prove less than it says.
        assert len({await cluster.owner(producer.key) for producer, _ in lanes}) > 1

        async with running(*(consumer for _, consumer in lanes)):
            for producer, _ in lanes:
                await producer.push_many([{"n": n} for n in range(100)])
            await wait_until(lambda: all(c.metrics().total_acked == 100 for _, c in lanes))
            key = lanes[0][0].key
            await cluster.move(key, to=(await cluster.owner(key) + 1) % 3)
            for producer, _ in lanes:
                await producer.push_many([{"n": n} for n in range(100, 200)])
            await wait_until(lambda: all(c.metrics().total_acked == 200 for _, c in lanes))

        for producer, _ in lanes:
            assert await numbers_in(client, producer.stream.replace("in", "out")) == list(range(200))
            assert await pending(client, producer.stream) == 0


async def test_a_cluster_is_found_by_its_nodes_and_pushes_follow_a_moving_slot(cluster: Cluster) -> None:
    nodes = [{"host": "127.0.0.1", "port": node.port} for node in cluster.nodes]
    async with StreamClient.from_cluster(nodes) as client:
        producer = StreamProducer(client, "orders")
        pushing = asyncio.create_task(_push(producer, 200))
        await wait_until(lambda: producer.metrics().total_pushed > 20)

        await cluster.move("orders", to=(await cluster.owner("orders") + 1) % 3)
        await pushing

        assert await numbers_in(client, "orders") == list(range(200))


async def test_what_is_with_the_new_node_already_is_asked_for_there(cluster: Cluster) -> None:
    stream, table = "{o}:in", "{o}:meta"
    async with StreamClient.from_url(cluster.url) as client:
        await client.push_many(stream, [f'{{"n":{n}}}' for n in range(10)])
        await client.channel.execute("HSET", table, "f", "v", key=table)
        await cluster.carry(stream, to=(await cluster.owner(stream) + 1) % 3)

        await client.create_group(stream, "g")
        read = await client.read(stream, "g", "c")
        ids = await client.push_many(stream, ['{"n":10}', '{"n":11}'])
        done = Settlement.ack(Entry(m.stream, m.id, m.delivery_count) for m in read)
        settled = await client.settle(done, group="g", consumer="c")
        shot = await take(client, streams=[stream], sets=[], lengths=[stream], table=table, fields=["f"])

        assert [message.data for message in read] == [b'{"n":%d}' % n for n in range(10)]
        assert len(ids) == 2
        assert len(settled.committed) == 10
        assert (shot.lengths, shot.table) == ({stream: 12}, {"f": "v"})


async def test_a_slot_half_moved_is_waited_for(cluster: Cluster) -> None:
    async with StreamClient.from_url(cluster.url) as client:
        await client.push("{a}:in", "{}")
        await cluster.carry("{a}:in", to=(await cluster.owner("{a}:in") + 1) % 3)
        command = {"streams": ["{a}:in"], "sets": ["{a}:new"], "lengths": ["{a}:in"]}

        with pytest.raises(ServerUnavailableError, match="TRYAGAIN"):
            await take(client, **command, table="{a}:meta", fields=["f"])


async def test_the_layout_is_asked_of_others_when_the_node_of_the_url_is_gone(cluster: Cluster) -> None:
    owners = {await cluster.owner(key): key for key in "abcdefgh"}
    key = owners[1]
    async with StreamClient.from_url(cluster.url) as client, StreamClient.from_url(cluster.full_url) as other:
        await client.push(key, "{}")
        await asyncio.to_thread(cluster.nodes[0].kill)
        client.channel.moved()

        # Of three masters two are left, and they serve what is theirs once they have given up the third.
        await wait_until(lambda: _answers(client, key))
        await wait_until(lambda: _answers(other, key))


async def _answers(client: StreamClient, key: str) -> bool:
    try:
        return await client.stream_len(key) == 1
    except ServerUnavailableError:
        return False


async def test_a_server_that_is_no_cluster_is_no_outage(server: StreamServer, name: str) -> None:
    async with StreamClient.from_url(f"redis+cluster://127.0.0.1:{server.port}") as client:
        with pytest.raises(SettleError, match="is not a cluster; address it as redis://"):
            await client.stream_len(name)


async def _push(producer: StreamProducer, count: int) -> None:
    for n in range(count):
        await producer.push({"n": n})
