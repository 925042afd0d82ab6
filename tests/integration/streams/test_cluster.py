"""A cluster does what one server does, also while a slot moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.consumer import StreamConsumer
from rsq_pipe.streams.producer import StreamProducer
from tests.support.cluster import Cluster
from tests.support.consumers import copy_to, numbers_in, pending, running, settings
from tests.support.server import binaries
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
            await wait_until(lambda: all(c.metrics().total_acked == 200 for _, c in lanes), timeout=20.0)

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


async def _push(producer: StreamProducer, count: int) -> None:
    for n in range(count):
        await producer.push({"n": n})
