"""Source kafka: each message once, in its partition's order, whoever reads which partition."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest

from rsq_pipe.connectors.kafka.reading import KafkaSource
from rsq_pipe.connectors.source import Chunk
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.errors import SinkError, SourceError
from tests.integration.engine.lab import Lab
from tests.support.kafka import KafkaBroker
from tests.support.ports import free_port
from tests.support.signals import eventually, wait_until
from tests.support.tls import AUTHORITY, tls_front

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl, rid: true}}\n"


@pytest.fixture
def topic(kafka: KafkaBroker, name: str) -> str:
    return name


def spec(lab: Lab, broker: KafkaBroker, topic: str, more: str = "") -> None:
    lab.spec(f"read: {{source: {{type: kafka, brokers: '{broker.address}', topic: {topic}{more}}}}}\n{OUT}")


def numbers(lab: Lab) -> list[int]:
    return lab.numbers("out/all.jsonl") if (lab.root / "out/all.jsonl").exists() else []


async def sent(broker: KafkaBroker, topic: str, values: Any, **more: Any) -> None:
    await asyncio.to_thread(lambda: broker.send(topic, values, **more))


async def made(broker: KafkaBroker, topic: str, partitions: int = 1, count: int = 0) -> None:
    """Make a topic, and fill its partitions in turn."""
    await asyncio.to_thread(broker.make, topic, partitions)
    for part in range(partitions if count else 0):
        await sent(broker, topic, [{"n": n} for n in range(part, count, partitions)], partition=part)


async def holders(lab: Lab, topic: str, partitions: int) -> list[str]:
    """Name the holder of each partition's lease."""
    keys = Keyspace(lab.pipeline)
    stage = lab.graph.stage("read")
    found = [await lab.redis("GET", keys.lease(stage, f"{topic}/{part}")) for part in range(partitions)]
    return [one.decode() if one else "" for one in found]


async def test_all_messages_are_read_and_the_run_ends_where_it_is_to(
    lab: Lab, kafka: KafkaBroker, topic: str
) -> None:
    await made(kafka, topic, 3, 30)
    spec(lab, kafka, topic, ", until: end")

    first = await lab.run()
    again = await lab.run()
    await sent(kafka, topic, [{"n": 30}, {"n": 31}], partition=1)
    await lab.run()

    assert (first.finished, again.finished) == (True, True)
    assert numbers(lab) == list(range(32))
    rids = {line["n"]: line["rid"] for line in lab.lines("out/all.jsonl")}
    assert rids[4] == f"read:{topic}/1:1"


async def test_a_run_waits_for_more_and_finds_partitions_that_are_added(
    lab: Lab, kafka: KafkaBroker, topic: str
) -> None:
    await made(kafka, topic, 1, 3)
    spec(lab, kafka, topic, ", look: 100ms, start: latest")
    run = await lab.up()
    stored = f"position:read:{topic}/0"
    await wait_until(lambda: lab.redis("HGET", lab.key("meta"), stored), what="it knows where it begins")

    await sent(kafka, topic, [{"n": 3}])
    await wait_until(lambda: numbers(lab) == [3], what="a message that comes is written")
    await asyncio.to_thread(kafka.widen, topic, 3)
    await sent(kafka, topic, [{"n": 4}], partition=2)
    await wait_until(lambda: numbers(lab) == [3, 4], what="a new partition is read from its beginning")
    await run.stop()

    await sent(kafka, topic, [{"n": 5}], partition=1)
    second = await lab.up()
    await wait_until(lambda: numbers(lab) == [3, 4, 5], what="the next run goes on")
    await second.stop()


async def test_a_partition_whose_reading_was_ended_by_anything_is_read_on(
    lab: Lab, kafka: KafkaBroker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings: list[KafkaSource] = []
    read = KafkaSource.read

    def noted(source: KafkaSource, shard: str, position: str, size: int) -> Iterator[Chunk]:
        readings.append(source)
        return read(source, shard, position, size)

    monkeypatch.setattr(KafkaSource, "read", noted)
    await made(kafka, topic, 1, 3)
    spec(lab, kafka, topic)
    run = await lab.up()
    await wait_until(lambda: numbers(lab) == [0, 1, 2], what="all is written")

    readings[0].close(f"{topic}/0")
    await wait_until(lambda: len(readings) == 2, what="another reading begins")
    await sent(kafka, topic, [{"n": 3}])

    await wait_until(lambda: numbers(lab) == [0, 1, 2, 3], what="it is read on")
    await run.stop()


async def test_a_limit_reads_so_many_of_all_partitions_together(
    lab: Lab, kafka: KafkaBroker, topic: str
) -> None:
    await made(kafka, topic, 3, 30)
    spec(lab, kafka, topic)

    await lab.run(limit=12)
    assert len(numbers(lab)) == 12

    await lab.run(limit=100)
    assert numbers(lab) == list(range(30))


async def test_runs_share_the_partitions_and_take_over_those_of_one_that_ends(
    lab: Lab, kafka: KafkaBroker, topic: str
) -> None:
    await made(kafka, topic, 4, 8)
    spec(lab, kafka, topic)
    first = await lab.up()
    await wait_until(lambda: numbers(lab) == list(range(8)), what="one run reads all")

    async def are_shared() -> bool:
        found = await holders(lab, topic, 4)
        return all(found) and len(set(found)) == 4  # each lease has a name of its own

    second = await lab.up()
    owners = await holders(lab, topic, 4)

    async def moved() -> int:
        found = await holders(lab, topic, 4)
        return sum(new not in {old, ""} for new, old in zip(found, owners, strict=True)) == 2

    await wait_until(moved, what="the second run has two of the four")
    for part in range(4):
        await sent(kafka, topic, [{"n": 8 + part}], partition=part)
    await wait_until(lambda: numbers(lab) == list(range(12)), what="both read")

    await first.stop()
    for part in range(4):
        await sent(kafka, topic, [{"n": 12 + part}], partition=part)
    await wait_until(lambda: numbers(lab) == list(range(16)), what="the second reads all")
    await second.stop()


async def test_partitions_that_are_read_at_once_pass_the_room_below_by_about_what_one_would(
    lab: Lab, kafka: KafkaBroker, topic: str
) -> None:
    await made(kafka, topic, 8, 2_000)
    lab.spec(
        f"read: {{source: {{type: kafka, brokers: '{kafka.address}', topic: {topic}}}}}\n{OUT}",
        top="max_backlog: 100",
    )
    run = await lab.up(stages=["read"])

    async def held() -> int:
        return await lab.records_in("read")

    async def is_full() -> bool:
        return await held() >= 100

    await wait_until(is_full, what="the stream is full")
    await run.stop()

    assert await held() < 150  # one would bring 25 too many, eight of them 200


async def test_what_is_no_record_is_a_dead_letter_as_it_came_and_takes_no_other_with_it(
    lab: Lab, kafka: KafkaBroker, topic: str
) -> None:
    await made(kafka, topic)
    spec(lab, kafka, topic, ", until: end")
    await sent(kafka, topic, [{"n": 1}, b"{broken", None, b"[1]", b"\xff", {"n": 2}], key=b"k1")

    summary = await lab.run()

    assert summary.finished
    assert numbers(lab) == [1, 2]
    found = await lab.redis("XRANGE", lab.key("read:dlq"), "-", "+")
    fields = [dict(zip(one[::2], one[1::2], strict=True)) for _, one in found]
    letters = {letter[b"rsq-rid"].decode(): letter for letter in fields}
    assert [letters[f"read:{topic}/0:{n}"][b"data"] for n in (1, 3, 4)] == [b"{broken", b"[1]", b"\xff"]
    tombstone = letters[f"read:{topic}/0:2"]
    assert b"tombstone" in tombstone[b"rsq-dlq-error"]
    assert tombstone[b"kafka-key"] == b"k1"


async def test_parts_of_a_message_become_fields_and_its_headers_the_records(
    lab: Lab, kafka: KafkaBroker, topic: str
) -> None:
    await made(kafka, topic)
    lab.spec(
        f"""
        read:
          source:
            type: kafka
            brokers: ["{kafka.address}"]
            topic: {topic}
            until: end
            format: msgpack
            fields: {{key: key, at: timestamp, where: partition, number: offset, from: topic}}
        out: {{call: "handlers:seen"}}
        all: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
        """
    )
    lab.handlers(
        """
        def seen(record, ctx):
            return {**record, "headers": dict(ctx.headers)}
        """
    )
    headers = [("tenant", b"shop"), ("rsq-rid", b"forged"), ("data", b"x"), ("binary", b"\xff")]
    await sent(kafka, topic, [msgpack.packb({"n": 1})], key=b"k", headers=headers)

    await lab.run()

    (line,) = lab.lines("out/all.jsonl")
    assert line["at"].endswith("Z")
    del line["at"]
    assert line.pop("headers")["tenant"] == "shop"
    assert line == {"n": 1, "key": "k", "where": 0, "number": 0, "from": topic}


async def test_messages_of_an_aborted_transaction_are_not_read_unless_that_is_asked_for(
    lab: Lab, kafka: KafkaBroker, topic: str
) -> None:
    await made(kafka, topic)
    await sent(kafka, topic, [{"n": 1}], transaction=f"{topic}-t")
    await sent(kafka, topic, [{"n": 2}], transaction=f"{topic}-t", abort=True)
    await sent(kafka, topic, [{"n": 3}])
    spec(lab, kafka, topic, ", until: end")

    await lab.run()

    assert numbers(lab) == [1, 3]


async def test_messages_behind_an_open_transaction_are_left_to_the_next_run_with_a_warning(
    lab: Lab, kafka: KafkaBroker, topic: str, capfd: pytest.CaptureFixture[str]
) -> None:
    await made(kafka, topic)
    await sent(kafka, topic, [{"n": 0}])
    await asyncio.to_thread(lambda: kafka.leave_open(topic, [{"n": 1}], transaction=f"{topic}-t"))
    await sent(kafka, topic, [{"n": 2}])
    spec(lab, kafka, topic, ", until: end")

    first = await lab.run()
    assert (first.finished, numbers(lab)) == (True, [0])
    assert "messages behind an open transaction are left to the next run" in "".join(capfd.readouterr())

    await sent(kafka, topic, [{"n": 3}], transaction=f"{topic}-t")  # this ends what was begun under its name
    await lab.run()
    assert numbers(lab) == [0, 2, 3]
    assert "open transaction" not in "".join(capfd.readouterr())


async def test_messages_that_were_deleted_unread_end_the_run_with_the_choice(
    lab: Lab, kafka: KafkaBroker, topic: str
) -> None:
    await made(kafka, topic, 1, 5)
    spec(lab, kafka, topic, ", until: end")
    await lab.run()
    await lab.redis("HSET", lab.key("meta"), f"position:read:{topic}/0", 9)

    with pytest.raises(SourceError, match=r"would be 9, and it ends at 5.*`lost: earliest`.*`lost: latest`"):
        await lab.run()

    spec(lab, kafka, topic, ", until: end, lost: latest")
    assert (await lab.run()).finished
    assert numbers(lab) == list(range(5))


async def test_messages_that_retention_deleted_before_they_were_read_end_the_run_with_their_number(
    lab: Lab, kafka: KafkaBroker, topic: str
) -> None:
    await made(kafka, topic, 1, 5)
    spec(lab, kafka, topic, ", until: end")
    await lab.run(limit=2)
    await asyncio.to_thread(kafka.cut, topic, 4)

    with pytest.raises(SourceError, match="would be 2, and 2 messages that were not read are gone"):
        await lab.run()

    spec(lab, kafka, topic, ", until: end, lost: earliest")
    await lab.run()
    assert numbers(lab) == [0, 1, 4]


async def test_a_topic_that_is_not_there_and_a_wrong_address_end_the_run(
    lab: Lab, kafka: KafkaBroker, topic: str
) -> None:
    spec(lab, kafka, topic)
    with pytest.raises(SourceError, match=f"there is no topic '{topic}'"):
        await lab.run()

    port = free_port()
    lab.spec(f"read: {{source: {{type: kafka, brokers: '127.0.0.1:{port}', topic: t, timeout: 1s}}}}\n{OUT}")
    with pytest.raises(SourceError, match=f"kafka at 127.0.0.1:{port}: it cannot be reached"):
        await lab.run()


async def test_a_stop_does_not_wait_for_a_cluster_that_is_away_when_the_run_begins(lab: Lab) -> None:
    lab.spec(f"read: {{source: {{type: kafka, brokers: '127.0.0.1:{free_port()}', topic: t}}}}\n{OUT}")
    run = await lab.up()

    async def waits() -> bool:
        return "read" in (await lab.state()).paused

    await wait_until(waits, what="the stage says what it waits for")

    await run.stop(timeout=8)


async def test_kafka_is_reached_by_tls_with_an_authority_of_its_own(
    lab: Lab, kafka: KafkaBroker, topic: str
) -> None:
    await made(kafka, topic, 2, 10)
    await asyncio.to_thread(kafka.make, f"{topic}-out")

    def stages(port: int, tls: str) -> str:
        where = f"type: kafka, brokers: '127.0.0.1:{port}', timeout: 2s{tls}"
        return (
            f"read: {{source: {{{where}, topic: {topic}, until: end}}}}\n"
            f"out: {{sink: {{{where}, topic: {topic}-out}}}}\n"
        )

    async with tls_front(kafka.port, told=b"127.0.0.1") as port:
        lab.spec(stages(port, ", tls: true"))
        with pytest.raises(
            (SourceError, SinkError), match=r"its certificate is not trusted.*`tls: \{ca: FILE\}`"
        ):
            await lab.run()
        lab.spec(stages(port, ""))
        with pytest.raises(SourceError, match=r"cannot be reached.*check `brokers` and `tls`"):
            await lab.run()
        lab.spec(stages(port, f", tls: {{ca: '{AUTHORITY}'}}"))
        await lab.run()

    values = await asyncio.to_thread(kafka.values, f"{topic}-out")
    assert sorted(one["n"] for one in values) == list(range(10))


@pytest.mark.slow
async def test_a_broker_that_stands_still_for_ten_seconds_is_waited_for(
    lab: Lab, own_kafka: KafkaBroker, name: str
) -> None:
    await made(own_kafka, name, 2, 10)
    spec(lab, own_kafka, name, ", timeout: 2s")
    run = await lab.up()
    await wait_until(lambda: numbers(lab) == list(range(10)), what="all is written")

    await asyncio.to_thread(own_kafka.pause)
    await asyncio.sleep(10)  # the outage itself
    await asyncio.to_thread(own_kafka.resume)
    await sent(own_kafka, name, [{"n": 10}], partition=0)
    await sent(own_kafka, name, [{"n": 11}], partition=1)

    await wait_until(lambda: numbers(lab) == list(range(12)), what="it goes on")
    await run.stop()


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """What a run has opened is closed soon after it has ended."""
    yield
    eventually(lambda: not any("rsq-pipe kafka" in one.name for one in threading.enumerate()))


async def test_a_login_is_made_and_one_that_is_refused_ends_the_run_without_its_password(
    lab: Lab, kafka: KafkaBroker, topic: str, capfd: pytest.CaptureFixture[str]
) -> None:
    await made(kafka, topic, 1, 3)
    login = "user: u, password: tell-nobody"
    spec(lab, kafka, topic, f", until: end, sasl: {{mechanism: PLAIN, {login}}}")
    await lab.run()
    assert numbers(lab) == [0, 1, 2]

    spec(lab, kafka, topic, f", until: end, sasl: {{{login}}}")
    with pytest.raises(SourceError, match="does not support SCRAM-SHA-512") as caught:
        await lab.run()
    assert "tell-nobody" not in str(caught.value) + "".join(capfd.readouterr())
