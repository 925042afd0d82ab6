"""Source stream: entries that others write to a stream of the pipeline's own server."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import redis

from tests.contract.sources.files import few
from tests.contract.sources.rig import Rig, Why


class Origin(Rig):
    server = "Redis, Valkey"
    pipeline_server = "stream_redis"  # which keeps what it has while it is away
    nothing: ClassVar[Why] = {
        "login": "it is the pipeline's own server",
        "missing": "a stream that is not there yet is empty",
    }
    ends = False
    bad_said = "its field 'n' is not of type int: 'seven'"

    @cached_property
    def _server(self) -> Any:
        return self.place.fixture(self.pipeline_server)

    @property
    def _stream(self) -> str:
        return f"{self.place.name}-numbers"

    @property
    def options(self) -> dict[str, Any]:
        return {"stream": self._stream, "format": "fields", "types": {"n": "int"}}

    def fill(self, numbers: Sequence[int]) -> None:
        self._add([{"n": n} for n in numbers])

    def fill_with_a_bad_one(self) -> None:
        self._add(few({"n": "seven"}))

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.start()

    def _add(self, records: Sequence[Any]) -> None:
        with redis.Redis.from_url(self._server.address) as client, client.pipeline() as added:
            for record in records:
                added.xadd(self._stream, record)
            added.execute()
