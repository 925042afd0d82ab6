"""Tables: what the rigs of databases have in common."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from tests.contract.sinks.rig import NO_LOGIN, NO_SERVER, WRONG, Record, Rig, Why
from tests.support.mariadb import MariadbServer
from tests.support.postgres import PostgresServer


class Table(Rig):
    """A table whose column `n` takes whole numbers alone."""

    bad: ClassVar[Record] = {"n": "seven", "pad": ""}
    missing_said = "the table does not exist; make it, or set `create: true`"


class ServerTable(Table):
    """A table of a database server."""

    fixture: ClassVar[str]
    """The server's."""
    password: ClassVar[str]

    @cached_property
    def _server(self) -> MariadbServer | PostgresServer:
        server: MariadbServer | PostgresServer = self.place.fixture(self.fixture)
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
        return {"DSN": self._server.dsn.replace(self.password, WRONG)}

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


class FileTable(Table):
    """A table in a file."""

    nothing: ClassVar[Why] = {"away": NO_SERVER, "login": NO_LOGIN}
    alone = True
    path: ClassVar[str]
    columns: ClassVar[str] = "n int, pad text"

    def make(self) -> None:
        self.run(f"create table t ({self.columns})")

    @property
    def options(self) -> dict[str, Any]:
        return {"path": self.path, "table": "t"}

    @property
    def missing_options(self) -> dict[str, Any]:
        return {**self.options, "table": "other"}

    def found(self) -> list[int]:
        return [row[0] for row in self.run("select n from t")]

    def run(self, sql: str) -> list[Any]:
        """Run a statement in the file, and close it."""
        raise NotImplementedError
