"""Source and sink mqtt: at least once, over kills of the run and stops of the broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.connectors.mqtt.reading import MqttSource, parsed
from rsq_pipe.connectors.mqtt.settings import ReadSettings
from rsq_pipe.errors import SinkError, SourceError
from tests.integration.engine.lab import Lab
from tests.support.mosquitto import MqttBroker
from tests.support.ports import free_port
from tests.support.private_server import PASSWORD
from tests.support.project import Project
from tests.support.signals import wait_until

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}\n"
LOGIN = f"user: rsq, password: {PASSWORD}"


def source(broker: MqttBroker, more: str = "") -> str:
    return f"read: {{source: {{type: mqtt, broker: '{broker.address}', {LOGIN}, topic: 's/#'{more}}}}}\n{OUT}"


def numbers(project: Project) -> list[int]:
    return project.numbers("out/all.jsonl") if (project.root / "out/all.jsonl").exists() else []


def payloads(numbers: Any) -> list[bytes]:
    return [json.dumps({"n": n}).encode() for n in numbers]


@pytest.fixture
async def listened(mqtt: MqttBroker) -> AsyncIterator[list[tuple[str, bytes]]]:
    found, stop = await asyncio.to_thread(mqtt.listen, "#")
    yield found
    await asyncio.to_thread(stop)


async def send(broker: MqttBroker, topic: str, messages: list[bytes]) -> None:
    await asyncio.to_thread(broker.publish, topic, messages)


async def test_messages_are_read_those_too_that_came_between_two_runs(lab: Lab, mqtt: MqttBroker) -> None:
    lab.spec(source(mqtt, ", fields: {sensor: topic}"))
    run = await lab.up()

    async def reads() -> bool:
        await send(mqtt, "s/a", payloads([0]))  # before the run has subscribed it is nobody's
        return 0 in numbers(lab)

    await wait_until(reads, what="it reads")
    await send(mqtt, "s/b", [*payloads([1, 2]), b"{broken"])
    await wait_until(lambda: set(numbers(lab)) >= {0, 1, 2}, what="the messages are written")
    await run.stop()

    await send(mqtt, "s/c", payloads([3]))
    second = await lab.up()
    await wait_until(lambda: set(numbers(lab)) == {0, 1, 2, 3}, what="what came in between is written")
    await second.stop()

    assert {line["sensor"] for line in lab.lines("out/all.jsonl")} == {"s/a", "s/b", "s/c"}
    (letter,) = await lab.dead_letters("read")
    assert (letter["data"], letter["mqtt-topic"]) == ("{broken", "s/b")


def test_processes_that_store_other_messages_after_the_same_position_store_another_position() -> None:
    settings = ReadSettings.model_validate({"broker": "127.0.0.1:1883", "topic": ["a", "b"]})
    one, other = (MqttSource(settings, stage="read", root=Path(), pipeline="p") for _ in range(2))

    first = one._position(7, ["a", "b"])
    assert first != other._position(7, ["a", "b"])
    assert parsed(first) == (7, ["a", "b"])
    assert parsed("7") == (7, []), "an earlier release stored no more"


async def test_topics_that_are_no_longer_named_are_no_longer_read(lab: Lab, mqtt: MqttBroker) -> None:
    lab.spec(source(mqtt))
    run = await lab.up()

    async def reads(topic: str, number: int) -> bool:
        await send(mqtt, topic, payloads([number]))
        return number in numbers(lab)

    await wait_until(lambda: reads("s/a", 0), what="it reads")
    await run.stop()
    await send(mqtt, "s/a", payloads([1]))
    lab.spec(source(mqtt).replace("s/#", "u/#"))

    second = await lab.up()
    await wait_until(lambda: reads("u/a", 2), what="it reads the other topic")
    await send(mqtt, "s/a", payloads([3]))
    await wait_until(lambda: reads("u/a", 4), what="it reads on")
    await second.stop()

    assert set(numbers(lab)) == {0, 1, 2, 4}, "what waited when the file was changed is not lost"


async def test_a_broker_that_is_away_is_told_of_until_it_answers_again_even_if_it_has_nothing_new(
    lab: Lab, mqtt: MqttBroker
) -> None:
    lab.spec(source(mqtt))
    run = await lab.up()

    async def reads() -> bool:
        await send(mqtt, "s/a", payloads([0]))
        return 0 in numbers(lab)

    await wait_until(reads, what="it reads")
    await asyncio.to_thread(mqtt.kill)

    async def told() -> bool:
        paused = (await lab.state()).paused.get("read")
        return paused is not None and paused.why == f"mqtt broker {mqtt.address}: Connection refused"

    async def works() -> bool:
        return "read" not in (await lab.state()).paused

    await wait_until(told, what="the stage says what it waits for")
    await asyncio.to_thread(mqtt.start)
    await wait_until(works, what="the stage waits no more")
    await run.stop()


async def test_records_become_messages_of_topics_of_their_own(
    lab: Lab, mqtt: MqttBroker, listened: list[tuple[str, bytes]]
) -> None:
    lab.spec(
        f"""
        read: {{source: {{type: jsonl, path: in.jsonl}}}}
        out: {{sink: {{type: mqtt, broker: "{mqtt.address}", {LOGIN}, topic_by: "'t/' + str(n)", rid: true}}}}
        """
    )
    lab.records([1, 2])
    with (lab.root / "in.jsonl").open("a") as file:
        file.write('{"x": 3}\n')

    await lab.run()

    await wait_until(lambda: len(listened) == 2, what="both messages have come")
    assert sorted(listened) == [
        ("t/1", b'{"rid":"read:in.jsonl:1","n":1}'),
        ("t/2", b'{"rid":"read:in.jsonl:2","n":2}'),
    ]
    (letter,) = await lab.dead_letters("out")
    assert "'n'" in letter["rsq-dlq-error"]


@pytest.mark.parametrize("has_written", [True, False])
async def test_a_broker_that_is_away_is_told_of_soon_and_a_stop_does_not_wait_for_it(
    lab: Lab, mqtt: MqttBroker, *, has_written: bool
) -> None:
    lab.spec(
        f"""
        in: {{source: {{type: jsonl, path: in.jsonl, follow: true}}}}
        to: {{sink: {{type: mqtt, broker: '{mqtt.address}', {LOGIN}, topic: t}}}}
        """
    )
    lab.records([0])
    if not has_written:
        await asyncio.to_thread(mqtt.kill)
    run = await lab.up()

    async def is_written() -> bool:
        return (await lab.state()).counters.get("to:out") == 1

    async def waits() -> bool:
        paused = (await lab.state()).paused.get("to")
        return paused is not None and f"mqtt broker {mqtt.address}: " in paused.why

    if has_written:
        await wait_until(is_written, what="the first is written")
        await asyncio.to_thread(mqtt.kill)
        lab.records([1])
    await wait_until(waits, timeout=15, what="the stage says what it waits for")

    await run.stop(timeout=8)


@pytest.mark.parametrize(
    ("login", "said"),
    [
        ("user: rsq, password: wrong", "Not authorized; correct `user`, `password`"),
        ("user: nobody", "Not authorized"),
    ],
)
async def test_a_login_that_is_refused_ends_the_run(
    lab: Lab, mqtt: MqttBroker, login: str, said: str
) -> None:
    lab.spec(f"read: {{source: {{type: mqtt, broker: '{mqtt.address}', {login}, topic: 's/#'}}}}\n{OUT}")
    with pytest.raises(SourceError, match=said):
        await lab.run()

    lab.spec(
        f"""
        in: {{source: {{type: jsonl, path: in.jsonl}}}}
        to: {{sink: {{type: mqtt, broker: '{mqtt.address}', {login}, topic: t}}}}
        """
    )
    lab.records([1])
    with pytest.raises(SinkError, match=said):
        await lab.run(fresh=True)


async def test_a_password_that_is_changed_during_a_run_ends_it(lab: Lab, mqtt: MqttBroker) -> None:
    settings = f"type: mqtt, broker: '{mqtt.address}', {LOGIN}, topic: 's/#', timeout: 1s"
    lab.spec(f"read: {{source: {{{settings}}}}}\n{OUT}")
    run = await lab.up()

    async def reads() -> bool:
        await send(mqtt, "s/a", payloads([0]))
        return 0 in numbers(lab)

    await wait_until(reads, what="it reads")
    await asyncio.to_thread(mqtt.stop)
    mqtt.set_password("changed")
    await asyncio.to_thread(mqtt.start)

    with pytest.raises(SourceError, match="refuses the client: Not authorized; correct `user`, `password`"):
        await run.ended()


async def test_a_wrong_address_ends_the_run(lab: Lab) -> None:
    port = free_port()
    lab.spec(f"read: {{source: {{type: mqtt, broker: '127.0.0.1:{port}', topic: t, timeout: 1s}}}}\n{OUT}")
    with pytest.raises(
        SourceError, match=f"mqtt broker 127.0.0.1:{port}: it cannot be reached: Connection refused"
    ):
        await lab.run()


@pytest.fixture
def guarded() -> Iterator[MqttBroker]:
    """A broker that lets the user write to `t/#` alone, and no message of more than 2,000 bytes."""
    broker = MqttBroker()
    rights = broker.folder / "rights"
    rights.write_text("user rsq\ntopic readwrite t/#\ntopic read $SYS/#\n")
    broker.configure(f"acl_file {rights}\nmessage_size_limit 2000\n")
    with broker:
        yield broker


def sink(broker: MqttBroker, more: str) -> str:
    return f"""
        read: {{source: {{type: jsonl, path: in.jsonl}}}}
        out: {{sink: {{type: mqtt, broker: "{broker.address}", {LOGIN}, {more}}}}}
        """


async def test_a_message_that_the_broker_refuses_is_a_dead_letter_and_the_others_are_sent(
    lab: Lab, guarded: MqttBroker
) -> None:
    found, stop = await asyncio.to_thread(guarded.listen, "t/#")
    lab.spec(sink(guarded, "topic_by: topic"))
    lines = [{"topic": "t/0"}, {"topic": "secret"}, {"topic": "t/1", "text": "x" * 3000}, {"topic": "t/2"}]
    (lab.root / "in.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    await lab.run()

    await wait_until(lambda: {topic for topic, _ in found} >= {"t/0", "t/2"}, what="the others have come")
    await asyncio.to_thread(stop)
    assert {topic for topic, _ in found} == {"t/0", "t/2"}
    errors = {letter["rsq-rid"]: letter["rsq-dlq-error"] for letter in await lab.dead_letters("out")}
    assert "the broker refuses its message to 'secret': Not authorized" in errors["read:in.jsonl:2"]
    # Mosquitto answers by a code that MQTT does not have there, and ends the connection.
    assert (
        "ends the connection when it gets its message to 't/1', of 3,025 bytes" in errors["read:in.jsonl:3"]
    )
    assert len(errors) == 2


async def test_a_topic_that_the_user_may_not_write_to_ends_the_run(lab: Lab, guarded: MqttBroker) -> None:
    lab.spec(sink(guarded, "topic: secret"))
    lab.records([1])
    with pytest.raises(
        SinkError, match="refuses messages to 'secret': Not authorized; correct `topic`, or the user's rights"
    ):
        await lab.run()


async def test_a_message_larger_than_any_packet_the_broker_takes_is_a_dead_letter(
    lab: Lab, guarded: MqttBroker
) -> None:
    guarded.configure("max_packet_size 1000\n")
    await asyncio.to_thread(guarded.stop)
    await asyncio.to_thread(guarded.start)
    lab.spec(sink(guarded, "topic: t/x"))
    (lab.root / "in.jsonl").write_text(f'{{"n": 1}}\n{{"n": 2, "text": "{"x" * 1500}"}}\n{{"n": 3}}\n')

    await lab.run()

    (letter,) = await lab.dead_letters("out")
    assert "the broker takes packets of 1,000 bytes at most" in letter["rsq-dlq-error"]


async def test_a_broker_that_takes_few_messages_at_once_gets_no_more(lab: Lab, mqtt: MqttBroker) -> None:
    mqtt.configure("max_inflight_messages 3\n")
    await asyncio.to_thread(mqtt.stop)
    await asyncio.to_thread(mqtt.start)
    found, stop = await asyncio.to_thread(mqtt.listen, "t")
    lab.spec(sink(mqtt, "topic: t"))
    lab.records(range(500))

    await lab.run()

    await wait_until(lambda: len(found) >= 500, what="all have come")
    await asyncio.to_thread(stop)
    assert sorted(json.loads(payload)["n"] for _, payload in found) == [*range(500)]


@pytest.fixture
async def old(mqtt: MqttBroker) -> AsyncIterator[str]:
    """The address of a broker that does not know MQTT 5."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while block := await reader.read(4096):
            writer.write(block)
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begin = await reader.readexactly(9)  # type, length, the length of the name, MQTT, the version
        if begin[8] == 5:
            writer.write(b"\x20\x02\x00\x01")  # refused: the version
            writer.close()
            return
        there, to = await asyncio.open_connection("127.0.0.1", mqtt.port)
        to.write(begin)
        await asyncio.gather(pass_on(reader, to), pass_on(there, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_broker_that_does_not_know_mqtt_5_gets_the_messages_too(
    lab: Lab, old: str, listened: list[tuple[str, bytes]]
) -> None:
    lab.spec(
        f"""
        read: {{source: {{type: jsonl, path: in.jsonl}}}}
        out: {{sink: {{type: mqtt, broker: "{old}", {LOGIN}, topic: t}}}}
        """
    )
    lab.records([1, 2])

    await lab.run()

    await wait_until(lambda: len(listened) == 2, what="both messages have come")
    assert sorted(listened) == [("t", b'{"n":1}'), ("t", b'{"n":2}')]
