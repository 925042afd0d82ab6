"""One turn of a consumer: its order, and what it counts, are those of the library it is compatible with."""

from __future__ import annotations

from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.producer import StreamProducer
from tests.integration.streams.conftest import Consume
from tests.support.consumers import DeadLetters, Recorder, fields_in, pending


async def test_a_record_never_acknowledged_is_dead_lettered_in_the_second_turn(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume
) -> None:
    handler, dead = Recorder(lambda message: False), DeadLetters()
    consumer = consume(handler, dlq_handler=dead, max_deliveries=2, min_idle_claim_ms=0, block_ms=10)
    await producer.push({"n": 1})

    await consumer.run_once()
    assert [message.delivery_count for message in handler.messages] == [1, 2]
    assert dead.taken == []

    await consumer.run_once()
    assert len(handler.messages) == 2
    assert dead.taken == [({"n": 1}, "max_deliveries")]
    assert await pending(client, stream) == 0


async def test_what_a_dlq_handler_took_is_dead_and_not_acknowledged(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume
) -> None:
    await producer.push_many([{"n": n} for n in range(5)])
    await client.push(stream, "{{bad}}")
    consumer = consume(Recorder(), dlq_handler=DeadLetters(), block_ms=10)

    await consumer.run_once()

    metrics = consumer.metrics()
    assert (metrics.total_read, metrics.total_acked, metrics.total_dlq) == (6, 5, 1)
    assert await pending(client, stream) == 0


async def test_what_was_written_to_a_dlq_stream_is_dead_and_not_acknowledged(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume, output: str
) -> None:
    await producer.push({"n": 1})
    await client.push(stream, "{{bad}}")
    consumer = consume(Recorder(), dlq_stream=output, block_ms=10)

    await consumer.run_once()

    metrics = consumer.metrics()
    assert (metrics.total_read, metrics.total_acked, metrics.total_dlq) == (2, 1, 1)
    assert [letter["data"] for letter in await fields_in(client, output)] == ["{{bad}}"]


async def test_uptime_is_none_before_the_first_record(
    producer: StreamProducer, stream: str, consume: Consume
) -> None:
    consumer = consume(Recorder(), block_ms=10)
    await consumer.run_once()
    assert (producer.metrics().uptime_secs, consumer.metrics().uptime_secs) == (0.0, 0.0)

    await producer.push({"n": 1})
    await consumer.run_once()

    assert producer.metrics().uptime_secs > 0
    assert consumer.metrics().uptime_secs > 0
