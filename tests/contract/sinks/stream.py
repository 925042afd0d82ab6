"""Sink stream: a stream of the pipeline's own server, written in the settlement."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import redis

from tests.contract.sinks.rig import Rig, Why
from tests.support.guarded_server import GuardedServer


class Target(Rig):
    server = "Redis, Valkey"
    pipeline_server = "lasting_server"
    nothing: ClassVar[Why] = {
        "bad": "a record that came through the pipeline can be written to a stream of it",
        "login": "it is the pipeline's own server",
        "missing": "a stream is made by its first entry",
    }

    @property
    def _server(self) -> GuardedServer:
        server: GuardedServer = self.place.fixture(self.pipeline_server)
        return server

    @property
    def options(self) -> dict[str, Any]:
        return {"stream": f"{self.place.name}-out"}

    def found(self) -> list[int]:
        with redis.Redis.from_url(self._server.address, decode_responses=True) as client:
            return [json.loads(fields["data"])["n"] for _, fields in client.xrange(f"{self.place.name}-out")]

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.start()
