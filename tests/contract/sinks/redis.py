"""Sink redis: a list on another server than the pipeline's own."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import redis

from tests.contract.sinks.rig import WRONG, Record, Rig
from tests.support.server import StreamServer

PASSWORD = "of-the-target"


class Target(Rig):
    server = "Redis, Valkey"
    bad: ClassVar[Record] = {"n": "seven", "pad": ""}
    bad_said = "`+` cannot be applied to text and a whole number"
    login_said = (
        "refused the login: invalid username-password pair or user is disabled; check user and password"
    )
    missing_said = "the server has no JSON: use Redis 8, or load the module"

    @property
    def _server(self) -> StreamServer:
        server: StreamServer = self.place.fixture("target_redis")
        return server

    @property
    def environ(self) -> dict[str, str]:
        return {"TARGET": f"redis://:{PASSWORD}@127.0.0.1:{self._server.port}"}

    @property
    def wrong_environ(self) -> dict[str, str]:
        return {"TARGET": f"redis://:{WRONG}@127.0.0.1:{self._server.port}"}

    @property
    def options(self) -> dict[str, Any]:
        return {"url": "${secret:TARGET}", "kind": "list", "key": self.place.name, "value": "n + 0"}

    @property
    def missing_options(self) -> dict[str, Any]:
        return {"url": "${secret:TARGET}", "kind": "json", "key": f"{self.place.name}:{{n}}"}

    def found(self) -> list[int]:
        with redis.Redis.from_url(self.environ["TARGET"]) as client:
            return [json.loads(one) for one in client.lrange(self.place.name, 0, -1)]

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.start()
