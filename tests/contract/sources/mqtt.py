"""Source mqtt: messages that a broker keeps for the session of the stage."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.contract.sources.files import as_json, few
from tests.contract.sources.rig import WRONG, Rig, Why
from tests.contract.sources.trial import BATCH
from tests.support.mosquitto import MqttBroker
from tests.support.private_server import PASSWORD
from tests.support.signals import PATIENCE, eventually


class Origin(Rig):
    server = "Mosquitto"
    nothing: ClassVar[Why] = {"missing": "a topic that nobody has written is one of which nothing comes"}
    ends = False
    again = 2 * BATCH
    """What was stored and not acknowledged: of one batch, and of the next, which is on its way."""
    bad_said = "it is not JSON"
    login_said = "Not authorized; correct `user`, `password`"

    @cached_property
    def _broker(self) -> MqttBroker:
        broker: MqttBroker = self.place.fixture("mosquitto")
        self._subscribe(broker.port)
        return broker

    @property
    def options(self) -> dict[str, Any]:
        return {
            "broker": self._broker.address,
            "topic": f"{self.name}/#",
            "user": "rsq",
            "password": "${secret:PASSWORD}",
        }

    def environ(self) -> dict[str, str]:
        return {"PASSWORD": PASSWORD}

    def wrong_environ(self) -> dict[str, str]:
        return {"PASSWORD": WRONG}

    def fill(self, numbers: Sequence[int]) -> None:
        self._publish([{"n": n} for n in numbers])

    def fill_with_a_bad_one(self) -> None:
        self._publish(few("{broken"))

    def stop(self) -> None:
        self._broker.stop()

    def start(self) -> None:
        self._broker.start()

    def _publish(self, records: Sequence[Any]) -> None:
        self._broker.publish(f"{self.name}/x", [one.encode() for one in as_json(records)])

    def _subscribe(self, port: int) -> None:
        """Begin the session, as an earlier run would: what comes before the first one is nobody's."""
        name = f"rsq-pipe.{self.place.name}.read"
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
        client.username_pw_set("rsq", PASSWORD)
        done = threading.Event()
        client.on_subscribe = lambda *_: done.set()
        client.connect("127.0.0.1", port)
        client.loop_start()
        eventually(client.is_connected, what="the broker takes the client")
        client.subscribe(f"{self.name}/#", 1)
        assert done.wait(PATIENCE)
        client.disconnect()
        client.loop_stop()
