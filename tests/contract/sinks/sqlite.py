"""Sink sqlite: a table in a file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any, ClassVar

from tests.contract.sinks.rig import NO_LOGIN, NO_SERVER, Record, Rig, Why


class Target(Rig):
    server = "SQLite"
    nothing: ClassVar[Why] = {"away": NO_SERVER, "login": NO_LOGIN}
    alone = True  # one that is paused in its transaction
    bad: ClassVar[Record] = {"n": "seven", "pad": ""}
    bad_said = "CHECK constraint failed"
    missing_said = "the table does not exist; make it, or set `create: true`"

    def make(self) -> None:
        self._run("create table t (n int check (typeof(n) = 'integer'), pad text)")

    @property
    def options(self) -> dict[str, Any]:
        return {"path": "target.sqlite", "table": "t"}

    @property
    def missing_options(self) -> dict[str, Any]:
        return {**self.options, "table": "other"}

    def found(self) -> list[int]:
        return [row[0] for row in self._run("select n from t")]

    def _run(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.place.root / "target.sqlite")) as connection, connection:
            return connection.execute(sql).fetchall()
