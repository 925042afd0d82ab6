"""A record that fails for good becomes one dead letter, takes nobody with it, and is never lost."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.producer import StreamProducer
from rsq_pipe.streams.retry import RetryHandler
from rsq_pipe.streams.serializers import PickleSerializer
from tests.integration.streams.conftest import Consume
from tests.support.consumers import GROUP, DeadLetters, Holdup, Recorder, fields_in, pending, running
from tests.support.proxy import Proxy
from tests.support.signals import PATIENCE, wait_until


def good(message: StreamMessage) -> bool:
    return bool(message.data["n"] != 13)


@pytest.fixture
def dlq(name: str) -> str:
    return f"{{{name}}}:dlq"


async def test_one_bad_record_in_a_hundred_is_one_dead_letter(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume, dlq: str
) -> None:
    await producer.push_many([{"n": n} for n in range(100)])

    async def handler(messages: list[StreamMessage]) -> list[str]:
        if not all(good(message) for message in messages):
            raise ValueError("13 is among them")
        return [message.id for message in messages]

    consumer = consume(handler, dlq_stream=dlq, min_idle_claim_ms=100)
    async with running(consumer):
        await wait_until(lambda: consumer.metrics().total_acked == 99 and consumer.metrics().total_dlq)

    (letter,) = await fields_in(client, dlq)
    assert letter["data"] == '{"n":13}'
    assert (consumer.metrics().total_dlq, await pending(client, stream)) == (1, 0)


async def test_a_dead_letter_is_written_to_the_dlq_stream_with_its_reason(
    client: StreamClient, stream: str, consume: Consume, dlq: str
) -> None:
    entry_id = await client.push(stream, '{"n":13}', headers={"rsq-rid": "orders+7", "traceparent": "00-ab"})
    consumer = consume(
        Recorder(good), dlq_stream=dlq, dlq_group="ops", max_deliveries=2, min_idle_claim_ms=50
    )

    async with running(consumer):
        await wait_until(lambda: consumer.metrics().total_dlq == 1)

    (letter,) = await fields_in(client, dlq)
    assert letter["data"] == '{"n":13}'
    assert (letter["rsq-rid"], letter["traceparent"]) == ("orders+7", "00-ab")
    assert (letter["rsq-dlq-reason"], letter["rsq-dlq-stage"], letter["rsq-dlq-attempts"]) == (
        "max_deliveries",
        GROUP,
        "2",
    )
    assert letter["rsq-dlq-entry"] == f"{stream}/{entry_id}"
    assert [group.name for group in await client.group_info(dlq)] == ["ops"]


async def test_the_dlq_handler_gets_the_decoded_message_and_its_deliveries(
    producer: StreamProducer, consume: Consume
) -> None:
    await producer.push({"n": 13})
    seen: list[StreamMessage] = []

    async def dead(message: StreamMessage, reason: str) -> None:
        seen.append(message)

    consumer = consume(Recorder(good), dlq_handler=dead, max_deliveries=2, min_idle_claim_ms=50)
    async with running(consumer):
        await wait_until(lambda: consumer.metrics().total_dlq == 1)

    assert [(message.data, message.delivery_count) for message in seen] == [({"n": 13}, 2)]


async def test_a_dlq_handler_that_raises_keeps_the_entry_pending(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume, dlq: str
) -> None:
    await producer.push({"n": 13})
    calls: list[str] = []

    async def dead(message: StreamMessage, reason: str) -> None:
        calls.append(reason)
        if len(calls) < 3:
            raise ConnectionError("the ticket system is down")

    consumer = consume(
        Recorder(good), dlq_handler=dead, dlq_stream=dlq, max_deliveries=1, min_idle_claim_ms=50
    )
    async with running(consumer):
        await wait_until(lambda: len(calls) == 2)
        await wait_until(lambda: not consumer._in_flight.ids())
        assert (await pending(client, stream), await client.stream_len(dlq)) == (1, 0)
        await wait_until(lambda: consumer.metrics().total_dlq == 1)

    assert calls == ["max_deliveries"] * 3
    assert (await pending(client, stream), await client.stream_len(dlq)) == (0, 1)


async def test_a_dlq_stream_that_cannot_be_written_keeps_the_entry_pending_and_is_loud(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume, dlq: str
) -> None:
    await client.channel.execute("SET", dlq, "text", key=dlq)
    errors: list[BaseException] = []
    await producer.push({"n": 13})
    consumer = consume(
        Recorder(good), dlq_stream=dlq, max_deliveries=1, min_idle_claim_ms=50, error_hook=errors.append
    )

    async with running(consumer):
        await wait_until(lambda: errors)

    assert "WRONGTYPE" in str(errors[0])
    assert await pending(client, stream) == 1


async def test_without_anywhere_to_put_it_a_dead_record_stays_pending(
    client: StreamClient,
    producer: StreamProducer,
    stream: str,
    consume: Consume,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await producer.push({"n": 13})

    async with running(consume(Recorder(good), max_deliveries=1, min_idle_claim_ms=50)):
        await wait_until(lambda: "cannot be dead-lettered" in caplog.text)

    assert await pending(client, stream) == 1


@pytest.mark.parametrize(
    "raw", [b"\xff\x00 not JSON", b'{"n":NaN}', b'{"n":1,"n":2}', b"[1]", b'"text"', b"", b'{"n":1}{"n":2}']
)
async def test_bytes_that_are_not_a_record_are_a_dead_letter_at_once_untouched(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume, dlq: str, raw: bytes
) -> None:
    await client.channel.execute("XADD", stream, "*", "odd", b"\xfe\xff", "data", raw, key=stream)
    await producer.push({"n": 1})
    handler = Recorder()
    consumer = consume(handler, dlq_stream=dlq)

    await consumer.run_once()

    assert handler.numbers == [1]
    ((_, fields),) = await client.channel.execute("XRANGE", dlq, "-", "+", key=dlq)
    assert fields[:4] == [b"odd", b"\xfe\xff", b"data", raw]
    assert fields[4:6] == [b"rsq-dlq-reason", b"decode_error"]
    assert (await pending(client, stream), consumer.metrics().total_dlq) == (0, 1)


async def test_an_entry_without_a_data_field_is_a_dead_letter_with_its_fields_untouched(
    client: StreamClient, stream: str, consume: Consume, dlq: str
) -> None:
    await client.channel.execute("XADD", stream, "*", "n", "1", "city", b"K\xf6ln", key=stream)

    await consume(Recorder(), dlq_stream=dlq).run_once()

    ((_, fields),) = await client.channel.execute("XRANGE", dlq, "-", "+", key=dlq)
    letter = dict(zip(fields[::2], fields[1::2], strict=True))
    assert (letter[b"n"], letter[b"city"]) == (b"1", b"K\xf6ln")
    assert b"has no field 'data'" in letter[b"rsq-dlq-error"]


async def test_headers_that_are_not_text_do_not_stop_a_record(
    client: StreamClient, stream: str, consume: Consume
) -> None:
    await client.channel.execute("XADD", stream, "*", "data", '{"n":1}', "city", b"K\xf6ln", key=stream)
    handler = Recorder()

    await consume(handler).run_once()

    assert handler.messages[0].headers == {"city": "K\\xf6ln"}


async def test_a_serializer_that_raises_anything_makes_a_dead_letter(
    client: StreamClient, producer: StreamProducer, consume: Consume, dlq: str
) -> None:
    class Broken(PickleSerializer):
        def decode(self, raw: bytes) -> object:
            raise ZeroDivisionError("in the user's serializer")

    await producer.push({"n": 1})

    await consume(Recorder(), dlq_stream=dlq, serializer=Broken(trust_server=True)).run_once()

    (letter,) = await fields_in(client, dlq)
    assert letter["rsq-dlq-error"].startswith("ZeroDivisionError")


async def test_an_undecodable_record_whose_dlq_handler_failed_keeps_its_reason(
    client: StreamClient, stream: str, consume: Consume
) -> None:
    await client.push(stream, "not JSON")
    reasons: list[str] = []

    async def dead(message: StreamMessage, reason: str) -> None:
        reasons.append(reason)
        if len(reasons) < 4:
            raise ConnectionError

    consumer = consume(Recorder(), dlq_handler=dead, max_deliveries=1, min_idle_claim_ms=50)
    async with running(consumer):
        await wait_until(lambda: consumer.metrics().total_dlq == 1)

    assert reasons == ["decode_error"] * 4


async def test_three_workers_dead_letter_fifty_bad_records_fifty_times(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume, dlq: str
) -> None:
    await producer.push_many([{"n": 13} for _ in range(50)])
    dead = DeadLetters()
    workers = [
        consume(Recorder(good), dlq_handler=dead, dlq_stream=dlq, max_deliveries=2, min_idle_claim_ms=50)
        for _ in range(3)
    ]

    async with running(*workers):
        await wait_until(lambda: sum(worker.metrics().total_dlq for worker in workers) == 50)

    assert (len(dead.taken), await client.stream_len(dlq)) == (50, 50)
    assert await pending(client, stream) == 0


async def test_an_entry_another_worker_is_still_running_is_not_dead_lettered(
    client: StreamClient, producer: StreamProducer, consume: Consume, dlq: str
) -> None:
    await producer.push({"n": 1})
    slow = Holdup()
    first = consume(slow, max_deliveries=1, min_idle_claim_ms=100)
    second = consume(Recorder(), dlq_stream=dlq, max_deliveries=1, min_idle_claim_ms=100)

    async with running(first):
        await asyncio.wait_for(slow.started.wait(), PATIENCE)
        async with running(second):
            await wait_until(lambda: second._membership._turns > 8)
            slow.may_end.set()
            await wait_until(lambda: first.metrics().total_acked == 1)

    assert await client.stream_len(dlq) == 0


async def test_a_bad_record_far_behind_in_the_pending_list_is_found(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume, dlq: str
) -> None:
    await producer.push_many([{"n": n} for n in range(300)] + [{"n": 13}])
    # 300 entries that somebody holds stand before the bad one in the pending list.
    await client.read(stream, GROUP, "holder", count=300)
    await client.read(stream, GROUP, "gone", count=1)
    ids = [entry.id for entry in await client.pending_range(stream, GROUP, count=300, consumer="holder")]

    consumer = consume(Recorder(good), dlq_stream=dlq, max_deliveries=1, batch_size=10, min_idle_claim_ms=100)
    async with running(consumer):

        async def found() -> bool:
            await client.channel.execute("XCLAIM", stream, GROUP, "holder", 0, *ids, "JUSTID", key=stream)
            return consumer.metrics().total_dlq == 1

        await wait_until(found)

    assert [letter["data"] for letter in await fields_in(client, dlq)] == ['{"n":13}']


async def test_a_dead_letter_whose_settlement_lost_its_reply_is_written_once(
    client: StreamClient, through_proxy: StreamClient, proxy: Proxy, stream: str, consume: Consume, dlq: str
) -> None:
    errors: list[BaseException] = []
    consumer = consume(Recorder(), through=through_proxy, dlq_stream=dlq, error_hook=errors.append)

    async with running(consumer):
        await client.push(stream, "not JSON")
        await wait_until(lambda: consumer.metrics().total_dlq == 1)
        lost = proxy.drop_reply_to(b"rsq-dlq-reason")
        await client.push(stream, "nor this")
        await asyncio.wait_for(lost.wait(), PATIENCE)
        await client.push(stream, '{"n":1}')
        await wait_until(lambda: consumer.metrics().total_acked == 1)

    assert errors
    assert await client.stream_len(dlq) == 2


# RetryHandler: the sweep for groups whose consumers are something else


@pytest.fixture
def dead() -> DeadLetters:
    return DeadLetters()


async def deliver(client: StreamClient, stream: str, times: int) -> None:
    await client.read(stream, GROUP, "w", count=1_000)
    for _ in range(times - 1):
        await client.autoclaim(stream, GROUP, "w", min_idle_ms=0, count=1_000)


async def test_a_sweep_routes_what_was_delivered_too_often_and_acknowledges_it(
    client: StreamClient, producer: StreamProducer, stream: str, dead: DeadLetters
) -> None:
    await producer.push_many([{"n": n} for n in range(250)])
    await deliver(client, stream, times=3)
    sweep = RetryHandler(client, stream, GROUP, dead, max_deliveries=3, batch_size=100, min_idle_ms=0)

    assert await sweep.handle_poison_pills() == 250

    assert [data["n"] for data, _ in dead.taken] == list(range(250))
    assert {reason for _, reason in dead.taken} == {"max_deliveries"}
    assert await pending(client, stream) == 0


async def test_a_sweep_leaves_alone_what_may_still_be_running(
    client: StreamClient, producer: StreamProducer, stream: str, dead: DeadLetters
) -> None:
    await producer.push({"n": 1})
    await deliver(client, stream, times=3)

    assert await RetryHandler(client, stream, GROUP, dead, max_deliveries=3).handle_poison_pills() == 0

    assert (dead.taken, await pending(client, stream)) == ([], 1)


async def test_a_sweep_whose_handler_raises_keeps_the_entry(
    client: StreamClient, producer: StreamProducer, stream: str
) -> None:
    async def refuse(message: StreamMessage, reason: str) -> None:
        raise ConnectionError

    await producer.push({"n": 1})
    await deliver(client, stream, times=3)
    sweep = RetryHandler(client, stream, GROUP, refuse, max_deliveries=3, min_idle_ms=0)

    assert await sweep.handle_poison_pills() == 0
    await sweep.send_to_dlq(StreamMessage("1-1", {}), "because")

    assert await pending(client, stream) == 1


async def test_sweeps_at_once_call_the_handler_once_per_entry(
    client: StreamClient, producer: StreamProducer, stream: str, dead: DeadLetters
) -> None:
    await producer.push_many([{"n": n} for n in range(50)])
    await deliver(client, stream, times=3)
    await wait_until(partial(idle_for, client, stream, 100))
    sweeps = [RetryHandler(client, stream, GROUP, dead, max_deliveries=3, min_idle_ms=100) for _ in range(3)]

    done = await asyncio.gather(*[sweep.handle_poison_pills() for sweep in sweeps])

    assert (sum(done), len(dead.taken)) == (50, 50)


async def idle_for(client: StreamClient, stream: str, milliseconds: int) -> bool:
    return len(await client.pending_range(stream, GROUP, min_idle_ms=milliseconds)) == 50


async def test_an_entry_with_more_fields_than_can_be_written_is_a_dead_letter_and_blocks_nobody(
    client: StreamClient, producer: StreamProducer, stream: str, consume: Consume, dlq: str
) -> None:
    wide = [word for number in range(9_000) for word in (f"h{number}", "x")]
    await client.channel.execute("XADD", stream, "*", "data", '{"n": 1}', *wide, key=stream)
    await producer.push({"n": 2})
    handler = Recorder()

    async with running(consume(handler, dlq_stream=dlq, min_idle_claim_ms=100)):
        await wait_until(lambda: handler.numbers == [2])
        await wait_until(lambda: _settled(client, stream))

    (letter,) = await fields_in(client, dlq)
    assert (letter["rsq-dlq-reason"], letter["data"]) == ("decode_error", '{"n": 1}')


async def _settled(client: StreamClient, stream: str) -> bool:
    return await pending(client, stream) == 0
