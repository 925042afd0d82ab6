"""Sink mqtt: messages of a broker, and one who keeps listening to them."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any, ClassVar

from tests.contract.sinks.rig import WRONG, Record, Rig, Why
from tests.support.mosquitto import MqttBroker
from tests.support.private_server import PASSWORD
from tests.support.signals import eventually


class Target(Rig):
    server = "Mosquitto"
    nothing: ClassVar[Why] = {"missing": "a topic is there with its first message"}
    bad: ClassVar[Record] = {"n": "seven", "pad": ""}
    bad_said = "`+` cannot be applied to text and a whole number"
    login_said = "Not authorized; correct `user`, `password`"

    @cached_property
    def _broker(self) -> MqttBroker:
        broker: MqttBroker = self.place.fixture("mosquitto")
        return broker

    def make(self) -> None:
        self._heard, self._stop_listening = self._broker.listen(f"{self.place.name}/#", self.place.name)

    @property
    def environ(self) -> dict[str, str]:
        return {"PASSWORD": PASSWORD}

    @property
    def wrong_environ(self) -> dict[str, str]:
        return {"PASSWORD": WRONG}

    @property
    def options(self) -> dict[str, Any]:
        login = {"user": "rsq", "password": "${secret:PASSWORD}", "timeout": "2s"}
        return {
            "broker": self._broker.address,
            **login,
            "topic_by": f"'{self.place.name}/' + str(n + 0)",
        }

    def found(self) -> list[int]:
        """List what was heard, up to a message that is sent last."""
        last = f"{self.place.name}/last"
        self._broker.publish(last, [b'{"n": -1}'])
        eventually(lambda: any(topic == last for topic, _ in self._heard))
        self._stop_listening()
        return [json.loads(payload)["n"] for topic, payload in self._heard if topic != last]

    def stop(self) -> None:
        self._broker.stop()

    def start(self) -> None:
        self._broker.start()
