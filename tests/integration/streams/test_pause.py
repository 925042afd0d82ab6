"""A paused consumer begins nothing: no read, no further batch of one, nothing that comes back."""

from __future__ import annotations

import asyncio
import re

import pytest

from rsq_pipe.streams import batch_reader
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.consumer import StreamConsumer
from rsq_pipe.streams.producer import StreamProducer
from tests.integration.streams.conftest import Consume
from tests.support.consumers import Holdup, Recorder, running, settings
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, wait_until


async def test_a_paused_consumer_begins_no_read(
    producer: StreamProducer, client: StreamClient, stream: str, consume: Consume
) -> None:
    handler = Recorder()
    consumer = consume(handler)
    consumer.pause()
    await producer.push({"n": 1})

    async with running(consumer):
        await wait_until(lambda: consumer._membership._ensured)
        assert handler.messages == []
        consumer.resume()
        await wait_until(lambda: handler.messages)


async def test_a_consumer_that_is_paused_with_a_batch_in_hand_begins_no_other_until_it_is_resumed(
    client: StreamClient, name: str
) -> None:
    streams = [f"{{{name}}}:a", f"{{{name}}}:b"]
    for n, stream in enumerate(streams):  # one read brings a batch of each
        await StreamProducer(client, stream).push({"n": n})
    slow = Holdup()
    consumer = StreamConsumer(client, streams, settings(batch_size=1), slow)

    async with running(consumer):
        await asyncio.wait_for(slow.started.wait(), PATIENCE)
        consumer.pause()
        slow.may_end.set()
        await wait_until(lambda: consumer.metrics().total_acked == 1)
        assert slow.handled == [0]
        consumer.resume()
        await wait_until(lambda: slow.handled == [0, 1])


async def test_a_paused_consumer_hands_out_nothing_that_comes_back(
    producer: StreamProducer, client: StreamClient, stream: str, consume: Consume
) -> None:
    await producer.push({"n": 1})
    handler = Recorder()
    consumer = consume(handler, min_idle_claim_ms=10)
    await client.create_group(stream, consumer.config.group, "0")
    await client.read(stream, consumer.config.group, "gone", count=1)
    consumer.pause()

    async with running(consumer):
        await wait_until(lambda: _held_by(client, stream, consumer), what="it has taken the entry over")
        assert handler.messages == []
        consumer.resume()
        await wait_until(lambda: handler.messages)


async def test_a_connection_that_the_server_closed_during_a_pause_is_no_outage(
    own_server: StreamServer, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(batch_reader, "IDLE", 0.5)
    handler = Recorder()
    async with (
        StreamClient("127.0.0.1", own_server.port) as client,
        StreamClient.from_url(own_server.tcp_url) as us,
    ):
        producer = StreamProducer(client, name)
        consumer = StreamConsumer(us, name, settings(), handler)
        async with running(consumer):
            await producer.push({"n": 0})
            await wait_until(lambda: consumer.metrics().total_acked == 1)
            consumer.pause()

            async def idle_reader() -> str:
                clients = (await client.channel.execute("CLIENT", "LIST", key="")).decode()
                found = re.search(
                    r"^id=(\d+) .* idle=[2-9] flags=N .* cmd=xreadgroup ", clients, re.MULTILINE
                )
                return found[1] if found else ""

            reader = await wait_until(idle_reader, what="it has not read for a second")
            # As the server does by its setting `timeout`, or a proxy.
            await client.channel.execute("CLIENT", "KILL", "ID", reader, key="")
            await producer.push({"n": 1})
            consumer.resume()
            await wait_until(lambda: consumer.metrics().total_acked == 2)

    assert not [line for line in caplog.messages if "trying again" in line]


async def _held_by(client: StreamClient, stream: str, consumer: StreamConsumer) -> bool:
    config = consumer.config
    return bool(await client.pending_range(stream, config.group, count=1, consumer=config.worker_name))
