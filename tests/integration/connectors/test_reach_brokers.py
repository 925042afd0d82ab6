"""What `validate --connect` finds out of brokers: Kafka's topics, and MQTT's login."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.connectors.test_reach import reached
from tests.support.kafka import KafkaBroker
from tests.support.mosquitto import MqttBroker
from tests.support.ports import free_port
from tests.support.private_server import PASSWORD


def test_topics_are_looked_for_and_none_is_made(
    tmp_path: Path, kafka: KafkaBroker, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    kafka.make(name)
    port = free_port()
    given = f"type: kafka, brokers: '{kafka.address}'"
    told = reached(
        tmp_path,
        f"  read: {{source: {{{given}, topic: [{name}, {name}-2]}}}}\n"
        f"  write: {{sink: {{{given}, topic: {name}}}}}\n"
        f"  away: {{from: read, sink: {{type: kafka, brokers: '127.0.0.1:{port}', topic: t}}}}\n",
        seconds=3,
    )

    assert f"there is no topic '{name}-2'; make it" in told[1].fault
    assert str(told[2]) == f"stages.write: kafka topic {name}: ok"
    assert told[3].fault.startswith(f"127.0.0.1:{port} cannot be reached: Connection refused")
    assert "check `brokers` and `tls`, and that it runs" in told[3].fault
    assert "client" not in "".join(capfd.readouterr())
    again = reached(
        tmp_path, f"  read: {{source: {{{given}, topic: {name}-2}}}}\n  out: {{sink: {{type: stdout}}}}\n"
    )
    assert "there is no topic" in again[1].fault


@pytest.mark.timeout(30)
def test_an_mqtt_broker_that_refuses_connections_is_not_waited_for(tmp_path: Path) -> None:
    away = f"type: mqtt, broker: '127.0.0.1:{free_port()}', topic: t"

    told = reached(
        tmp_path, f"  read: {{source: {{{away}}}}}\n  out: {{sink: {{type: stdout}}}}\n", seconds=60
    )

    assert "Connection refused; check `broker`" in told[1].fault


def test_a_login_at_an_mqtt_broker_is_tried_and_no_password_shown(tmp_path: Path, mqtt: MqttBroker) -> None:
    given = f"type: mqtt, broker: '{mqtt.address}', topic: t, user: rsq"
    told = reached(
        tmp_path,
        f"  read: {{source: {{{given}, password: {PASSWORD}}}}}\n"
        f"  write: {{sink: {{{given}, password: wrong-one}}}}\n"
        f"  away: {{from: read, sink: {{type: mqtt, broker: '127.0.0.1:{free_port()}', topic: t}}}}\n",
        seconds=2,
    )

    assert str(told[1]) == f"stages.read: mqtt broker {mqtt.address}: ok"
    assert "Not authorized; correct `user`, `password`" in told[2].fault
    assert "check `broker` and `tls`" in told[3].fault
    assert "wrong-one" not in "".join(map(str, told))
