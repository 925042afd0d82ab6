"""Sink http: a web service that takes records under the keys they are sent with."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contract.sinks.rig import WRONG, Record, Rig, Why
from tests.contract.web_target import TOKEN, WebTarget


class Target(Rig):
    server = "a web service on loopback"
    nothing: ClassVar[Why] = {"missing": "an answer of 404 is about the record that was sent"}
    bad: ClassVar[Record] = {"n": "seven", "pad": ""}
    bad_said = "it answers 422: no seven"
    away_said = "paused: calls fail one after another"
    back_said = "goes on: calls work again"
    login_said = "it answers 401: who is that?; check the credentials"

    @property
    def _service(self) -> WebTarget:
        service: WebTarget = self.place.fixture("web_target")
        return service

    def make(self) -> None:
        self._service.taken[self.place.name] = []

    @property
    def environ(self) -> dict[str, str]:
        return {"TOKEN": TOKEN}

    @property
    def wrong_environ(self) -> dict[str, str]:
        return {"TOKEN": WRONG}

    @property
    def options(self) -> dict[str, Any]:
        return {"url": f"{self._service.url}/{self.place.name}", "auth": {"bearer": "${secret:TOKEN}"}}

    def found(self) -> list[int]:
        taken = self._service.taken[self.place.name]
        # What comes twice has the same key.
        assert len(set(taken)) == len({n for _, n in taken}) == len({key for key, _ in taken})
        return [n for _, n in taken]

    def stop(self) -> None:
        self._service.stop()

    def start(self) -> None:
        self._service.start()
