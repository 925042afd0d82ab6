"""StreamConsumer hands out every entry, acknowledges what its handler finished, and says what it did."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from rsq_pipe.errors import ServerUnavailableError
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.consumer import StreamConsumer
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.producer import StreamProducer
from rsq_pipe.streams.serializers import MsgpackSerializer
from tests.integration.streams.conftest import Consume
from tests.support.consumers import GROUP, Holdup, Recorder, copy_to, numbers_in, pending, running, settings
from tests.support.proxy import Proxy
from tests.support.signals import PATIENCE, wait_until


async def test_every_record_is_handled_once_in_batches(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume
) -> None:
    await producer.push_many([{"n": n} for n in range(250)])
    handler = Recorder()

    async with running(consume(handler, batch_size=100)):
        await wait_until(lambda: len(handler.messages) == 250)

    assert handler.numbers == list(range(250))
    assert handler.batches == [100, 100, 50]
    assert await pending(client, stream) == 0


async def test_a_batch_waits_to_be_full_as_long_as_it_is_told(
    producer: StreamProducer, consume: Consume
) -> None:
    handler = Recorder()

    async with running(consume(handler, batch_size=4, batch_wait_ms=5_000)):
        for n in range(4):
            await producer.push({"n": n})
        await wait_until(lambda: handler.messages)

    assert handler.batches == [4]


async def test_ids_that_are_not_returned_stay_pending_and_come_back(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume
) -> None:
    await producer.push_many([{"n": n} for n in range(3)])
    handler = Recorder(lambda message: message.data["n"] != 1 or message.delivery_count > 2)

    async with running(consume(handler)):
        await wait_until(lambda: len(handler.messages) == 5)

    assert [(m.data["n"], m.delivery_count) for m in handler.messages] == [
        *((0, 1), (1, 1), (2, 1)),
        *((1, 2), (1, 3)),
    ]
    assert await pending(client, stream) == 0


async def test_a_handler_that_returns_none_acknowledges_nothing_and_is_told_so(
    producer: StreamProducer,
    client: StreamClient,
    stream: str,
    consume: Consume,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await producer.push({"n": 1})

    async def handler(messages: list[StreamMessage]) -> None:
        return None

    await consume(handler).run_once()

    assert await pending(client, stream) == 1
    assert "returned None: nothing is acknowledged" in caplog.text


async def test_what_is_counted_as_acknowledged_is_what_the_server_acknowledged(
    producer: StreamProducer,
    client: StreamClient,
    stream: str,
    consume: Consume,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await producer.push_many([{"n": n} for n in range(3)])

    async def handler(messages: list[StreamMessage]) -> list[str]:
        await client.autoclaim(stream, GROUP, "thief", min_idle_ms=0, count=1, max_passes=1)
        return [*(message.id for message in messages), "1-1", "no id at all"]

    consumer = consume(handler)
    await consumer.run_once()

    metrics = consumer.metrics()
    assert (metrics.total_read, metrics.total_acked, metrics.total_fenced) == (3, 2, 1)
    assert "ids it was not given" in caplog.text
    assert await pending(client, stream) == 1


async def test_a_handler_that_raises_ends_nothing_and_its_hook_hears_of_it(
    producer: StreamProducer, consume: Consume
) -> None:
    heard: list[BaseException] = []

    async def hook(error: BaseException) -> None:
        heard.append(error)
        raise RuntimeError("a hook that fails must not end the loop either")

    async def handler(messages: list[StreamMessage]) -> list[str]:
        if messages[0].delivery_count == 1:
            raise KeyError("customer")
        return [message.id for message in messages]

    await producer.push({"n": 1})
    consumer = consume(handler, error_hook=hook)
    async with running(consumer):
        await wait_until(lambda: consumer.metrics().total_acked == 1)

    assert [type(error) for error in heard] == [KeyError]
    assert consumer.metrics().total_errors == 1


@pytest.mark.parametrize("returned", [7, [object()], [["unhashable"]]])
async def test_a_handler_that_returns_nonsense_is_treated_as_one_that_failed(
    producer: StreamProducer, client: StreamClient, stream: str, consume: Consume, returned: object
) -> None:
    await producer.push({"n": 1})

    async def handler(messages: list[StreamMessage]) -> object:
        return returned

    consumer = consume(handler)
    await consumer.run_once()

    assert await pending(client, stream) == 1
    assert len(consumer._in_flight) == 0


async def test_a_settlement_is_written_where_the_handler_says(
    client: StreamClient, producer: StreamProducer, consume: Consume, output: str
) -> None:
    await producer.push_many([{"n": n} for n in range(50)])
    consumer = consume(copy_to(output), batch_size=7)

    async with running(consumer):
        await wait_until(lambda: consumer.metrics().total_acked == 50)

    assert await numbers_in(client, output) == list(range(50))


async def test_a_block_longer_than_any_timeout_is_waited_out(
    server_client: StreamClient, consume: Consume
) -> None:
    errors: list[BaseException] = []
    handler = Recorder()
    consumer = consume(handler, through=server_client, block_ms=60_000, error_hook=errors.append)

    async with running(consumer):
        await asyncio.wait_for(_blocked(consumer), PATIENCE)
        since = asyncio.get_running_loop().time()
        await wait_until(
            lambda: asyncio.get_running_loop().time() > since + 2 * server_client.channel.timeout
        )
        await server_client.push(consumer.streams[0], '{"n":1}')
        await wait_until(lambda: handler.messages)

    assert errors == []


@pytest.fixture
async def server_client(client: StreamClient) -> StreamClient:
    """The client, with a command timeout shorter than a block."""
    client.channel.timeout = 0.2
    return client


async def _blocked(consumer: StreamConsumer) -> None:
    await wait_until(lambda: consumer._reader._blocked)


async def test_a_block_of_zero_returns_at_once_and_does_not_spin(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume
) -> None:
    assert await client.read(stream, GROUP, "c", block_ms=0) == []
    handler = Recorder()
    before = await _commands(client)

    async with running(consume(handler, block_ms=0, min_idle_claim_ms=10_000)):
        await wait_until(partial(_commands_after, client, before + 4))
        since = asyncio.get_running_loop().time()
        await wait_until(partial(_commands_after, client, before + 8))
        assert asyncio.get_running_loop().time() - since > 0.1
        await producer.push({"n": 1})
        await wait_until(lambda: handler.messages)


async def _commands_after(client: StreamClient, count: int) -> bool:
    return await _commands(client) >= count


async def _commands(client: StreamClient) -> int:
    reply = await client.channel.execute("INFO", "commandstats", key="")
    text = reply.decode() if isinstance(reply, bytes) else str(reply)
    calls = [line for line in text.splitlines() if line.startswith("cmdstat_xreadgroup:")]
    return int(calls[0].split("calls=")[1].split(",")[0]) if calls else 0


async def test_two_streams_share_one_consumer_and_equal_ids_are_not_confused(
    client: StreamClient, name: str
) -> None:
    streams = [f"{{{name}}}:a", f"{{{name}}}:b"]
    for stream in streams:
        await client.channel.execute("XADD", stream, "5-1", "data", '{"n":1}', key=stream)
    handler = Recorder(lambda message: message.stream == streams[0] or message.delivery_count > 1)
    consumer = StreamConsumer(client, streams, settings(), handler)

    async with running(consumer):
        await wait_until(lambda: consumer.metrics().total_acked == 2)

    assert (streams[1], 2) in [(message.stream, message.delivery_count) for message in handler.messages]


async def test_a_serializer_of_ones_own_is_honoured(
    client: StreamClient, stream: str, consume: Consume
) -> None:
    await StreamProducer(client, stream, serializer=MsgpackSerializer()).push({"n": 1, "raw": b"\x00"})
    handler = Recorder()

    await consume(handler, serializer=MsgpackSerializer()).run_once()

    assert handler.messages[0].data == {"n": 1, "raw": b"\x00"}


async def test_entries_whose_delivery_was_lost_come_back_at_once(
    client: StreamClient,
    through_proxy: StreamClient,
    proxy: Proxy,
    producer: StreamProducer,
    consume: Consume,
    output: str,
) -> None:
    consumer = consume(copy_to(output), through=through_proxy, min_idle_claim_ms=60_000)

    async with running(consumer):
        await asyncio.wait_for(_blocked(consumer), PATIENCE)
        lost = proxy.drop_next_reply_containing(b'{"n":3}')
        await producer.push_many([{"n": n} for n in range(5)])
        await asyncio.wait_for(lost.wait(), PATIENCE)
        await producer.push({"n": 5})
        await wait_until(lambda: consumer.metrics().total_acked == 6)

    assert sorted(await numbers_in(client, output)) == list(range(6))


async def test_a_settlement_whose_reply_is_lost_is_sent_again_and_written_once(
    client: StreamClient,
    through_proxy: StreamClient,
    proxy: Proxy,
    producer: StreamProducer,
    consume: Consume,
    output: str,
) -> None:
    errors: list[BaseException] = []
    consumer = consume(copy_to(output), through=through_proxy, error_hook=errors.append)

    async with running(consumer):
        await producer.push({"n": 0})
        await wait_until(lambda: consumer.metrics().total_acked == 1)
        lost = proxy.drop_reply_to(output.encode())
        await producer.push({"n": 1})
        await asyncio.wait_for(lost.wait(), PATIENCE)
        await producer.push({"n": 2})
        await wait_until(lambda: consumer.metrics().total_acked == 2)

    assert await numbers_in(client, output) == [0, 1, 2]
    assert {type(error) for error in errors} == {ServerUnavailableError}


async def test_a_batch_is_not_handled_again_because_the_server_was_away_when_it_was_to_be_settled(
    through_proxy: StreamClient, proxy: Proxy, producer: StreamProducer, consume: Consume
) -> None:
    errors: list[BaseException] = []
    slow = Holdup()
    consumer = consume(slow, through=through_proxy, min_idle_claim_ms=60_000, error_hook=errors.append)

    async with running(consumer):
        await producer.push({"n": 1})
        await asyncio.wait_for(slow.started.wait(), PATIENCE)
        await proxy.refuse()
        slow.may_end.set()
        await wait_until(lambda: errors)
        await proxy.forward()
        await wait_until(lambda: consumer.metrics().total_acked == 1)

    assert slow.handled == [1]


@pytest.mark.parametrize("handler_takes", ["what it is given", "a part", "nothing", "an error"])
async def test_nothing_is_held_any_more_when_a_batch_has_ended(
    producer: StreamProducer, consume: Consume, handler_takes: str
) -> None:
    await producer.push_many([{"n": n} for n in range(30)] + [{"n": "undecodable"}])

    async def handler(messages: list[StreamMessage]) -> list[str]:
        if handler_takes == "an error":
            raise ValueError("no")
        kept = {"what it is given": 30, "a part": 3, "nothing": 0}[handler_takes]
        return [message.id for message in messages[:kept]]

    consumer = consume(handler, batch_size=10, max_deliveries=2, min_idle_claim_ms=50)
    async with running(consumer):
        await wait_until(lambda: consumer.metrics().total_read >= 31)

    assert len(consumer._in_flight) == 0


async def test_nothing_is_held_any_more_when_a_settlement_failed(
    client: StreamClient, producer: StreamProducer, consume: Consume, name: str
) -> None:
    wrong = f"{{{name}}}:wrong"
    await client.channel.execute("SET", wrong, "text", key=wrong)
    await producer.push_many([{"n": n} for n in range(20)])
    errors: list[BaseException] = []
    consumer = consume(copy_to(wrong), batch_size=20, error_hook=errors.append)

    async with running(consumer):
        await wait_until(lambda: errors)
        await wait_until(lambda: len(consumer._in_flight) == 0)


async def test_entries_of_a_read_that_was_not_handled_to_its_end_are_let_go(
    client: StreamClient, name: str
) -> None:
    # COUNT holds per stream: two streams bring two batches in one read, and the first one's settlement fails.
    streams = [f"{{{name}}}:a", f"{{{name}}}:b"]
    for stream in streams:
        await client.push_many(stream, ['{"n":1}'] * 10)
    wrong = f"{{{name}}}:wrong"
    await client.channel.execute("SET", wrong, "text", key=wrong)
    errors: list[BaseException] = []
    consumer = StreamConsumer(
        client,
        streams,
        settings(batch_size=10, min_idle_claim_ms=60_000),
        copy_to(wrong),
        error_hook=errors.append,
    )

    async with running(consumer):
        await wait_until(lambda: errors)
        await wait_until(lambda: len(consumer._in_flight) == 0)


async def test_a_handler_slower_than_the_idle_time_keeps_its_entries(
    producer: StreamProducer, consume: Consume
) -> None:
    slow, other = Holdup(), Recorder()
    await producer.push_many([{"n": n} for n in range(5)])

    async with running(consume(slow, min_idle_claim_ms=500)):
        await asyncio.wait_for(slow.started.wait(), PATIENCE)
        second = consume(other, min_idle_claim_ms=500)
        async with running(second):
            await wait_until(lambda: second._membership._turns > 8)
            slow.may_end.set()

    assert (slow.handled, other.messages) == ([0, 1, 2, 3, 4], [])


async def test_a_slow_handler_in_run_once_keeps_its_entries_too(
    producer: StreamProducer, consume: Consume
) -> None:
    slow, other = Holdup(), Recorder()
    await producer.push({"n": 1})
    once = asyncio.create_task(consume(slow, min_idle_claim_ms=500).run_once())
    await asyncio.wait_for(slow.started.wait(), PATIENCE)

    second = consume(other, min_idle_claim_ms=500)
    async with running(second):
        await wait_until(lambda: second._membership._turns > 8)
        slow.may_end.set()
        await once

    assert other.messages == []
