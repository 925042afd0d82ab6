"""Sink kafka: each record is one message for who reads committed ones; what a topic does not take is told."""

from __future__ import annotations

import asyncio
import json

import pytest

from rsq_pipe.errors import SinkError
from tests.integration.engine.lab import Lab
from tests.support.kafka import KafkaBroker
from tests.support.signals import wait_until


@pytest.fixture
def topic(kafka: KafkaBroker, name: str) -> str:
    return f"{name}-out"


def spec(lab: Lab, broker: KafkaBroker, topic: str, more: str = "") -> None:
    lab.spec(
        f"""
        read: {{source: {{type: jsonl, path: "*.jsonl"}}}}
        out: {{sink: {{type: kafka, brokers: "{broker.address}", topic: {topic}{more}}}}}
        """
    )


async def values(broker: KafkaBroker, topic: str) -> list[int]:
    found = await asyncio.to_thread(broker.values, topic)
    return sorted(one["n"] for one in found)


async def test_records_become_messages_with_key_partition_id_and_trace(
    lab: Lab, kafka: KafkaBroker, topic: str
) -> None:
    await asyncio.to_thread(kafka.make, topic, 3)
    spec(lab, kafka, topic, ", key: 'n + 10', partition: 'n % 3', rid: true")
    lab.records(range(6))

    assert (await lab.run()).finished
    messages = await asyncio.to_thread(kafka.messages, topic)

    assert [(one.partition, one.key) for one in messages] == [(n % 3, b"1%d" % n) for n in (0, 3, 1, 4, 2, 5)]
    assert json.loads(messages[0].value) == {"rid": "read:in.jsonl:1", "n": 0}
    assert dict(messages[0].headers)["rsq-rid"] == b"read:in.jsonl:1"


async def test_a_topic_is_read_and_written_and_the_trace_goes_through(
    lab: Lab, kafka: KafkaBroker, topic: str
) -> None:
    source = f"{topic}-in"
    for one in (source, topic):
        await asyncio.to_thread(kafka.make, one)
    parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await asyncio.to_thread(
        lambda: kafka.send(source, [{"n": 1}], headers=[("traceparent", parent), ("tenant", b"shop")])
    )
    lab.spec(
        f"""
        read: {{source: {{type: kafka, brokers: "{kafka.address}", topic: {source}, until: end}}}}
        out: {{sink: {{type: kafka, brokers: "{kafka.address}", topic: {topic}, format: json}}}}
        """
    )

    await lab.run()

    (message,) = await asyncio.to_thread(kafka.messages, topic)
    headers = dict(message.headers)
    assert headers["tenant"] == b"shop"
    assert headers["traceparent"].split(b"-")[1] == parent.split(b"-")[1]
    assert headers["rsq-rid"] == f"read:{source}/0:0".encode()


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_packed_messages_are_written_and_read(
    lab: Lab, kafka: KafkaBroker, topic: str, codec: str
) -> None:
    await asyncio.to_thread(kafka.make, topic)
    lab.records(range(50), pad="x" * 100)
    spec(lab, kafka, topic, f", compression: {codec}")
    await lab.run()

    lab.spec(
        f"""
        read2: {{source: {{type: kafka, brokers: "{kafka.address}", topic: {topic}, until: end}}}}
        file: {{sink: {{type: jsonl, path: out.jsonl}}}}
        """
    )
    await lab.run(fresh=True)

    assert lab.numbers() == list(range(50))


async def test_a_record_that_the_topic_does_not_take_is_a_dead_letter_alone(
    lab: Lab, kafka: KafkaBroker, topic: str
) -> None:
    await asyncio.to_thread(lambda: kafka.make(topic, 2, max_message_bytes="2000"))
    spec(lab, kafka, topic, ", partition: n, max_message: 20kB")
    lab.records([0, 1, 2])
    lab.records([0], pad="x" * 5_000)
    lab.records([1], pad="x" * 50_000)
    lab.records([1, 0])

    summary = await lab.run()

    assert summary.finished
    assert await values(kafka, topic) == [0, 0, 1, 1]
    errors = sorted(letter["rsq-dlq-error"] for letter in await lab.dead_letters("out"))
    assert len(errors) == 3
    assert "its message has" in errors[0]
    assert "its partition would be 2; the topic has 2" in errors[1]
    assert "does not take the record: MessageSizeTooLargeError" in errors[2]


async def test_a_partition_that_the_topic_was_given_meanwhile_is_written_to(
    lab: Lab, kafka: KafkaBroker, topic: str
) -> None:
    await asyncio.to_thread(kafka.make, topic, 2)
    lab.spec(
        f"""
        read: {{source: {{type: jsonl, path: in.jsonl, follow: true}}}}
        out: {{sink: {{type: kafka, brokers: "{kafka.address}", topic: {topic}, partition: n % 4}}}}
        """
    )
    lab.records([0, 1])
    run = await lab.up()

    async def are_written(numbers: list[int]) -> bool:
        return await values(kafka, topic) == numbers

    await wait_until(lambda: are_written([0, 1]), what="the first are written")
    await asyncio.to_thread(kafka.widen, topic, 4)
    lab.records([2, 3])

    await wait_until(lambda: are_written([0, 1, 2, 3]), what="the others are written")
    assert await lab.dead_letters("out") == []
    await run.stop()


async def test_a_record_without_a_field_of_the_key_is_a_dead_letter(
    lab: Lab, kafka: KafkaBroker, topic: str
) -> None:
    await asyncio.to_thread(lambda: kafka.make(topic, 1, cleanup_policy="compact"))
    spec(lab, kafka, topic, ", key: customer")
    lab.records([1], customer="ada")
    lab.records([2])
    lab.records([3], customer=None)
    lab.records([4], customer=[1])

    await lab.run()

    assert await values(kafka, topic) == [1]
    errors = [letter["rsq-dlq-error"] for letter in await lab.dead_letters("out")]
    assert [any(word in error for error in errors) for word in ("'customer'", "compacted", "text or a")] == [
        True,
        True,
        True,
    ]


async def test_a_compacted_topic_that_would_get_messages_without_a_key_ends_the_run(
    lab: Lab, kafka: KafkaBroker, topic: str
) -> None:
    await asyncio.to_thread(lambda: kafka.make(topic, 1, cleanup_policy="compact"))
    said = "it is compacted, and takes no message without a key; set `key`"
    spec(lab, kafka, topic)
    lab.records([1])

    with pytest.raises(SinkError, match=f"kafka topic {topic}: {said}"):
        await lab.run()


async def test_fresh_writes_behind_what_a_topic_holds_only_if_that_is_asked_for(
    lab: Lab, kafka: KafkaBroker, topic: str
) -> None:
    await asyncio.to_thread(kafka.make, topic)
    spec(lab, kafka, topic)
    lab.records([1, 2])
    await lab.run()
    with pytest.raises(SinkError, match="it holds messages, and --fresh would write all records again"):
        await lab.run(fresh=True)

    spec(lab, kafka, topic, ", fresh: append")
    await lab.run(fresh=True)
    lab.records([3])
    await lab.run()

    assert await values(kafka, topic) == [1, 1, 2, 2, 3]


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_broker_that_stands_still_for_ten_seconds_gets_each_record_once(
    lab: Lab, own_kafka: KafkaBroker, name: str
) -> None:
    await asyncio.to_thread(own_kafka.make, name, 2)
    lab.spec(
        f"""
        read: {{source: {{type: jsonl, path: "in.jsonl", follow: true}}}}
        out: {{sink: {{type: kafka, brokers: "{own_kafka.address}", topic: {name}, timeout: 2s}}}}
        """
    )
    lab.records(range(100))
    run = await lab.up()

    async def settled() -> int:
        return int((await lab.redis("HGET", lab.key("meta"), "out:in")) or 0)

    async def has(count: int) -> bool:
        return await settled() >= count

    await wait_until(lambda: has(100), what="the first are written")
    await asyncio.to_thread(own_kafka.pause)
    lab.records(range(100, 200))
    await asyncio.sleep(10)  # the outage itself
    await asyncio.to_thread(own_kafka.resume)
    lab.records(range(200, 300))
    await wait_until(lambda: has(300), what="all are written")
    await run.stop()

    assert await values(own_kafka, name) == list(range(300))
