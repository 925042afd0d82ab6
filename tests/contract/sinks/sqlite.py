"""Sink sqlite: a table in a file; one that is paused in its transaction keeps the others out."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from tests.contract.sinks.table import FileTable


class Target(FileTable):
    server = "SQLite"
    path = "target.sqlite"
    columns = "n int check (typeof(n) = 'integer'), pad text"
    bad_said = "CHECK constraint failed"

    def run(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.place.root / self.path)) as connection, connection:
            return connection.execute(sql).fetchall()
