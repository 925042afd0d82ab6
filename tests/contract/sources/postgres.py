"""Source postgres: the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

from tests.contract.sources.rig import ROWS, WRONG, Rig, Why
from tests.support.postgres import PostgresServer
from tests.support.private_server import PASSWORD


class Origin(Rig):
    server = "PostgreSQL"
    nothing: ClassVar[Why] = {"bad": ROWS}
    ends = False
    fixture = "postgres"
    login_said = "password authentication failed"
    missing_said = 'relation "nothing_here" does not exist; make it, or correct the name'

    @cached_property
    def _server(self) -> PostgresServer:
        server: PostgresServer = self.place.fixture(self.fixture)
        server.execute(f"create table {self.name} (n int primary key)")
        return server

    @property
    def options(self) -> dict[str, Any]:
        return {"dsn": "${secret:DSN}", "table": self.name, "key": ["n"], "every": "200ms", "timeout": "2s"}

    @property
    def missing_options(self) -> dict[str, Any]:
        return {**self.options, "table": "nothing_here"}

    def environ(self) -> dict[str, str]:
        return {"DSN": self._server.dsn}

    def wrong_environ(self) -> dict[str, str]:
        return {"DSN": self._server.dsn.replace(PASSWORD, WRONG)}

    def fill(self, numbers: Sequence[int]) -> None:
        rows = ", ".join(f"({n})" for n in numbers)
        self._server.execute(f"insert into {self.name} values {rows}")

    def stop(self) -> None:
        self._server.kill()

    def start(self) -> None:
        self._server.start()
