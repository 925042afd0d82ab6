"""A stage that meets large entries takes few of them at a time, new ones and those that come again."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from rsq_pipe.streams.batch_reader import MAX_BYTES, ReadSize
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.config import ConsumerConfig
from rsq_pipe.streams.consumer import StreamConsumer
from rsq_pipe.streams.settlement import Entry, Settlement
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE

COUNT, SIZE = 30, 2 * 1024 * 1024


@pytest.mark.parametrize("again", [False, True], ids=["new", "left by a dead worker"])
async def test_a_batch_of_large_entries_is_bounded_in_bytes(
    server: StreamServer, name: str, *, again: bool
) -> None:
    async with StreamClient.from_url(server.url) as client:
        for _ in range(COUNT):
            await client.push_many(name, [b"x" * SIZE])
        await client.create_group(name, "g")
        if again:
            dead = await client.channel.execute(
                *("XREADGROUP", "GROUP", "g", "dead", "COUNT", COUNT, "STREAMS", client.key(name), ">"),
                key=client.key(name),
            )
            assert len(dead[0][1]) == COUNT
        config = ConsumerConfig("g", batch_size=500, block_ms=100, min_idle_claim_ms=50, max_deliveries=9)
        consumer = StreamConsumer(client, name, config, read_size=ReadSize(500, 1))
        sizes, seen = [], set()
        async with asyncio.timeout(PATIENCE), aclosing(consumer.batches()) as batches:
            async for entries in batches:
                # One whose reply is under way for as long as a dead worker's are left alone may come twice.
                sizes.append(sum(len(entry.data) for entry in entries))
                seen |= {entry.id for entry in entries}
                await consumer.settle(Settlement.ack(Entry(e.stream, e.id, e.deliveries) for e in entries))
                if len(seen) == COUNT:
                    consumer.stop()
        await client.channel.execute("DEL", client.key(name), key=client.key(name))

    assert max(sizes) <= MAX_BYTES
