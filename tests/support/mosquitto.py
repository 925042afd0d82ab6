"""MqttBroker: a private Mosquitto for tests, which may be stopped; Debian's binary."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.absent import absent
from tests.support.ports import free_port
from tests.support.private_server import PASSWORD, PrivateServer
from tests.support.signals import PATIENCE, eventually


def binary() -> str:
    """Find the broker; if it is missing, a test that needs it is skipped, except in CI."""
    # Debian puts it where not everyone's PATH leads.
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if found is None:
        absent("Mosquitto here", "on Debian and Ubuntu: apt install mosquitto")
    return found


@pytest.fixture
def mqtt() -> Iterator[MqttBroker]:
    """A broker for one test."""
    with MqttBroker() as running:
        yield running


class MqttBroker(PrivateServer):
    """Run one broker on a port of 127.0.0.1, with a password; it keeps sessions across restarts."""

    what = "Mosquitto"

    def __init__(self) -> None:
        self._binary = binary()
        super().__init__(Path(tempfile.mkdtemp(prefix="rsq-mqtt-", dir="/tmp")))
        self.port = free_port()
        self._passwords = passwords = self.folder / "passwords"
        self.set_password(PASSWORD)
        (self.folder / "broker.conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\n"
            f"persistence true\npersistence_location {self.folder}/\nautosave_interval 1\n"
            "max_queued_messages 0\n"
            + (f"user {os.environ.get('USER', 'root')}\n" if os.geteuid() == 0 else "")
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> Self:
        self._begin([self._binary, "-c", self.folder / "broker.conf"])
        eventually(self._answers, what="Mosquitto answers")
        return self

    def set_password(self, password: str) -> None:
        """Set the user's password, which holds from the next start on."""
        self._password = password
        tool = shutil.which("mosquitto_passwd") or "/usr/bin/mosquitto_passwd"
        command: list[str | Path] = [tool, "-b", "-c", self._passwords, "rsq", password]
        subprocess.run(command, check=True, capture_output=True)

    def configure(self, lines: str) -> None:
        """Add lines to its configuration, which hold from the next start on."""
        with (self.folder / "broker.conf").open("a") as file:
            file.write(lines)

    def publish(self, topic: str, payloads: Sequence[bytes], *, qos: int = 1, retain: bool = False) -> None:
        """Send messages, and wait until the broker has them."""
        client = self._client("")
        waiting = [client.publish(topic, payload, qos, retain) for payload in payloads]
        for one in waiting:
            one.wait_for_publish(10)
        client.disconnect()
        client.loop_stop()

    def listen(self, filter_: str, name: str = "") -> tuple[list[tuple[str, bytes]], Any]:
        """Collect what comes from now on, across stops if it has a name; the second value ends that."""
        found: list[tuple[str, bytes]] = []
        ready = threading.Event()
        client = self._client(name)
        client.on_message = lambda _, __, message: found.append((message.topic, bytes(message.payload)))
        client.on_subscribe = lambda *_: ready.set()
        client.subscribe(filter_, 1)
        assert ready.wait(PATIENCE)

        def stop() -> None:
            client.disconnect()
            client.loop_stop()

        return found, stop

    def _client(self, name: str) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=not name)
        client.username_pw_set("rsq", self._password)
        up = threading.Event()
        client.on_connect = lambda *_: up.set()
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        assert up.wait(PATIENCE)
        return client

    def _answers(self) -> bool:
        self._check()
        try:
            client = self._client("")
        except OSError:
            return False
        client.disconnect()
        client.loop_stop()
        return True
