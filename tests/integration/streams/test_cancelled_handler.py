"""A handler that waits for a task of its own which was cancelled has failed, and cancels nothing else."""

from __future__ import annotations

import asyncio

from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.config import ConsumerConfig
from rsq_pipe.streams.consumer import StreamConsumer
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.producer import StreamProducer
from tests.support.signals import PATIENCE, wait_until


async def test_a_cancellation_that_a_handler_lets_out_is_its_failure_and_reading_goes_on(
    client: StreamClient, stream: str
) -> None:
    producer = StreamProducer(client, stream)
    seen: list[int] = []

    async def handler(messages: list[StreamMessage]) -> list[str]:
        seen.extend(message.data["n"] for message in messages)
        if seen == [0]:
            waiting = asyncio.ensure_future(asyncio.sleep(3600))
            waiting.cancel()
            await waiting
        return [message.id for message in messages]

    config = ConsumerConfig("g", batch_size=1, block_ms=50, min_idle_claim_ms=100)
    consumer = StreamConsumer(client, stream, config, handler)
    running = asyncio.ensure_future(consumer.run())
    await producer.push({"n": 0})
    await wait_until(lambda: bool(seen), what="the first is handled")
    await producer.push({"n": 1})

    await wait_until(
        lambda: {0, 1} <= set(seen) and seen.count(0) > 1, what="both are handled, the first again"
    )

    consumer.stop()
    await asyncio.wait_for(running, PATIENCE)
    assert consumer.metrics().total_errors == 1
