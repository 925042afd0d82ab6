"""Sink duckdb: a table in a file that one process at a time has open."""

from __future__ import annotations

from typing import Any

import duckdb

from tests.contract.sinks.table import FileTable


class Target(FileTable):
    server = "DuckDB"
    path = "target.duckdb"
    bad_said = "Could not convert string 'seven' to INT32"

    def run(self, sql: str) -> list[Any]:
        with duckdb.connect(self.place.root / self.path) as connection:
            return connection.execute(sql).fetchall()
