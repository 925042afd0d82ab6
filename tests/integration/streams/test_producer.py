"""StreamProducer stores each record once, and never at the cost of another."""

from __future__ import annotations

import asyncio

import pytest

from rsq_pipe.errors import EncodeError, SettleError, StreamFullError
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.producer import StreamProducer
from rsq_pipe.streams.script import PUSH
from tests.support.consumers import GROUP, fields_in, numbers_in
from tests.support.proxy import Proxy


async def test_a_full_stream_refuses_a_push_rather_than_trim_what_a_group_needs(
    client: StreamClient, stream: str
) -> None:
    producer = StreamProducer(client, stream, max_len=10)
    await producer.push_many([{"n": n} for n in range(10)])

    with pytest.raises(StreamFullError) as raised:
        await producer.push({"n": 10})

    assert (raised.value.stream, raised.value.bound) == (stream, 10)
    assert await numbers_in(client, stream) == list(range(10))


async def test_a_full_stream_makes_room_of_what_every_group_acknowledged(
    client: StreamClient, stream: str
) -> None:
    producer = StreamProducer(client, stream, max_len=10)
    await producer.push_many([{"n": n} for n in range(10)])
    handed = await client.read(stream, GROUP, "c", count=4)
    await client.ack(stream, GROUP, [message.id for message in handed[:3]])

    await producer.push_many([{"n": n} for n in (10, 11, 12)])

    assert await numbers_in(client, stream) == list(range(3, 13))
    with pytest.raises(StreamFullError):
        await producer.push({"n": 13})


async def test_a_push_many_that_does_not_fit_stores_nothing(client: StreamClient, stream: str) -> None:
    producer = StreamProducer(client, stream, max_len=10)

    with pytest.raises(StreamFullError):
        await producer.push_many([{"n": n} for n in range(11)])

    assert await client.stream_len(stream) == 0


@pytest.mark.parametrize("count", [1, 50])
async def test_a_push_whose_reply_is_lost_is_stored_once_and_returns_its_ids(
    client: StreamClient, through_proxy: StreamClient, proxy: Proxy, stream: str, count: int
) -> None:
    producer = StreamProducer(through_proxy, stream)
    await producer.push({"n": -1})
    lost = proxy.drop_reply_to(b"EVALSHA")

    ids = await producer.push_many([{"n": n} for n in range(count)])

    assert lost.is_set()
    assert await numbers_in(client, stream) == [-1, *range(count)]
    assert [message.id for message in await client.fetch_by_ids(stream, ids)] == ids


async def test_a_repetition_that_arrives_after_its_lane_went_on_is_not_stored_again(
    client: StreamClient, stream: str
) -> None:
    receipt = f"{{{stream}}}:receipt"
    for token in ("1", "2"):
        await client.channel.run(PUSH, [stream, receipt], [token, 60, 0, 2, "data", f'{{"n":{token}}}'])

    with pytest.raises(SettleError, match="STALE"):
        await client.channel.run(PUSH, [stream, receipt], ["1", 60, 0, 2, "data", '{"n":1}'])

    assert await numbers_in(client, stream) == [1, 2]


async def test_pushes_at_once_do_not_take_each_others_receipts(
    client: StreamClient, through_proxy: StreamClient, proxy: Proxy, stream: str
) -> None:
    producer = StreamProducer(through_proxy, stream)
    await asyncio.gather(*[producer.push({"n": -1}) for _ in range(8)])
    lost = proxy.drop_reply_to(b"EVALSHA")

    await asyncio.gather(*[producer.push({"n": n}) for n in range(40)])

    assert lost.is_set()
    assert sorted(await numbers_in(client, stream)) == [-1] * 8 + list(range(40))


async def test_a_cancelled_push_is_stored_once_or_not_at_all(
    client: StreamClient, producer: StreamProducer, stream: str
) -> None:
    pushes = [asyncio.create_task(producer.push({"n": n})) for n in range(20)]
    await asyncio.sleep(0)
    for push in pushes:
        push.cancel()
    await asyncio.wait(pushes)

    stored = await numbers_in(client, stream)
    assert len(stored) == len(set(stored))


async def test_headers_travel_beside_the_record(
    client: StreamClient, producer: StreamProducer, stream: str
) -> None:
    await producer.push({"n": 1}, headers={"traceparent": "00-ab", "rsq-rid": "r.1"})

    assert await fields_in(client, stream) == [{"data": '{"n":1}', "traceparent": "00-ab", "rsq-rid": "r.1"}]
    (message,) = await client.read(stream, GROUP, "c")
    assert (message.headers, message.rid) == ({"traceparent": "00-ab", "rsq-rid": "r.1"}, "r.1")


async def test_a_header_that_would_hide_the_record_is_refused(
    client: StreamClient, producer: StreamProducer, stream: str
) -> None:
    for push in (producer.push({"n": 1}, {"data": "x"}), client.push(stream, "{}", {"data": "x"})):
        with pytest.raises(EncodeError, match="cannot be named 'data'"):
            await push

    assert await client.stream_len(stream) == 0


async def test_a_record_larger_than_the_bound_is_refused(client: StreamClient, stream: str) -> None:
    producer = StreamProducer(client, stream, max_record_bytes=100)

    with pytest.raises(EncodeError, match="max_record_bytes is 100"):
        await producer.push({"n": "x" * 100})

    assert await client.stream_len(stream) == 0


async def test_a_group_is_created_once_and_keeps_what_came_before_it(client: StreamClient, name: str) -> None:
    producer = StreamProducer(client, name, GROUP)
    await producer.push({"n": 1})

    await producer.ensure_group()
    await producer.ensure_group()

    assert [message.data for message in await client.read(name, GROUP, "c")] == [b'{"n":1}']


async def test_a_producer_counts_what_it_pushed(producer: StreamProducer) -> None:
    await producer.push_many([{"n": n} for n in range(30)])
    assert await producer.push_many([]) == []

    metrics = producer.metrics()
    assert metrics.total_pushed == 30
    assert metrics.tps > 0
    assert metrics in StreamProducer.all_metrics() or len(StreamProducer.all_metrics()) > 0
