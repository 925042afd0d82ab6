"""History: a table built from the changes of another, to find each change that is missing or comes twice."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg


class History:
    """
    Apply changes as a `postgres_cdc` source reports them.

    Rows have a key `id`, and a number `v` that each update increases by one: so each change says what
    was there before it.
    """

    def __init__(self) -> None:
        self.rows: dict[int, int] = {}
        self.wrong: list[str] = []

    def apply(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Apply changes, and note each one that does not fit."""
        for record in records:
            self._apply(record)

    def _apply(self, record: Mapping[str, Any]) -> None:
        op, key = record["op"], record["id"]
        if op in ("snapshot", "insert"):
            self._expect(key not in self.rows, "it stands there already", record)
        else:
            before = record.get("old", record)["id"]
            found = self.rows.pop(before, None)
            self._expect(found is not None, "it does not stand there", record)
            self._expect(
                op == "delete" or found is None or record["v"] == found + 1, f"after {found}", record
            )
        if op != "delete":
            self.rows[key] = record["v"]

    def _expect(self, holds: bool, why: str, record: Mapping[str, Any]) -> None:
        if not holds:
            self.wrong.append(f"{why}: {dict(record)}")


class Writers:
    """
    Write to a table from several connections at once, until `stop`.

    A transaction makes some changes, waits a little, and commits or rolls back: so those that began
    early commit late.
    """

    def __init__(self, dsn: str, table: str, *, count: int = 3, seed: int = 1) -> None:
        self._dsn = dsn
        self._table = table
        self._stopping = threading.Event()
        self.committed = 0
        self._threads = [
            threading.Thread(target=self._write, args=(random.Random(seed * 1000 + n), n), daemon=True)
            for n in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each finish its current transaction and end."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    def _write(self, draw: random.Random, number: int) -> None:
        made = 0
        while not self._stopping.is_set():
            try:
                with psycopg.connect(self._dsn) as connection:
                    connection.execute("set lock_timeout = '1s'")
                    connection.commit()
                    while not self._stopping.is_set():
                        made = self._transaction(connection, draw, number, made)
            except psycopg.Error:  # the server was killed, or two waited for each other
                self._stopping.wait(0.05)

    def _transaction(
        self, connection: psycopg.Connection[Any], draw: random.Random, number: int, made: int
    ) -> int:
        for _ in range(draw.randint(1, 6)):
            made += 1
            key = draw.randint(1, 400)
            match draw.randint(0, 4):
                case 0 | 1:
                    new = 100_000 * (number + 1) + made + draw.randint(0, 1) * 1_000_000
                    sql = f"insert into {self._table} (id, v) values ({new}, 0) on conflict do nothing"
                case 2:
                    sql = f"update {self._table} set v = v + 1 where id = {key}"
                case 3:
                    sql = f"update {self._table} set v = v + 1 where id between {key} and {key + 3}"
                case _:
                    sql = (
                        f"delete from {self._table} where id = {key}"
                        if draw.random() < 0.5
                        else f"update {self._table} set id = id + 5000000 + {made} * 1000, v = v + 1"
                        f" where id = {key} and id < 1000"
                    )
            connection.execute(sql.encode())
        self._stopping.wait(draw.choice([0, 0, 0.01, 0.2]))
        if draw.random() < 0.1:
            connection.rollback()
        else:
            connection.commit()
            self.committed += 1
        return made
