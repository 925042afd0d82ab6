"""Sink mysql: a table."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from tests.contract.sinks.rig import WRONG, Record, Rig
from tests.support.mariadb import PASSWORD, MariadbServer


class Target(Rig):
    server = "MariaDB"
    bad: ClassVar[Record] = {"n": "seven", "pad": ""}
    bad_said = "Incorrect integer value: 'seven' for column"
    login_said = "(using password: YES); mend `dsn`"
    missing_said = "the table does not exist; make it, or set `create: true`"

    @cached_property
    def _server(self) -> MariadbServer:
        server: MariadbServer = self.place.fixture("mariadb")
        return server

    @property
    def _table(self) -> str:
        return self.place.name.replace("-", "_")

    def make(self) -> None:
        self._server.execute(f"create table {self._table} (n int, pad text)")

    @property
    def environ(self) -> dict[str, str]:
        return {"DSN": self._server.dsn}

    @property
    def wrong_environ(self) -> dict[str, str]:
        return {"DSN": self._server.dsn.replace(PASSWORD, WRONG)}

    @property
    def options(self) -> dict[str, Any]:
        return {
            "dsn": "${secret:DSN}",
            "table": self._table,
            "timeout": "2s",
            "ledger": f"{self._table}_ledger",
        }

    @property
    def missing_options(self) -> dict[str, Any]:
        return {**self.options, "table": f"{self._table}_2"}

    def found(self) -> list[int]:
        return [row[0] for row in self._server.execute(f"select n from {self._table}")]

    def stop(self) -> None:
        self._server.kill()

    def start(self) -> None:
        self._server.start()
