"""Sink duckdb: a table in a file that one process at a time has open."""

from __future__ import annotations

from typing import Any, ClassVar

import duckdb

from tests.contract.sinks.rig import NO_LOGIN, NO_SERVER, Record, Rig, Why


class Target(Rig):
    server = "DuckDB"
    nothing: ClassVar[Why] = {"away": NO_SERVER, "login": NO_LOGIN}
    alone = True
    bad: ClassVar[Record] = {"n": "seven", "pad": ""}
    bad_said = "Could not convert string 'seven' to INT32"
    missing_said = "the table does not exist; make it, or set `create: true`"

    def make(self) -> None:
        self._run("create table t (n int, pad text)")

    @property
    def options(self) -> dict[str, Any]:
        return {"path": "target.duckdb", "table": "t"}

    @property
    def missing_options(self) -> dict[str, Any]:
        return {**self.options, "table": "other"}

    def found(self) -> list[int]:
        return [row[0] for row in self._run("select n from t")]

    def _run(self, sql: str) -> list[Any]:
        with duckdb.connect(self.place.root / "target.duckdb") as connection:
            return connection.execute(sql).fetchall()
